"""The operations: each a class with its forward and its derivative, by family. See README.md."""
