/* What array.c needs of memory.c beyond core.h. */
#ifndef MG_MEMORY_H
#define MG_MEMORY_H

#include "core.h"

/* A storage padded so that the data behind it is aligned as the storage is. */
typedef union mg_storage_block {
    mg_storage storage;
    char padding[(sizeof(mg_storage) + MG_ALIGNMENT - 1) / MG_ALIGNMENT * MG_ALIGNMENT];
} mg_storage_block;

mg_storage *mg_storage_wrap(void *data, int64_t bytes, int64_t owner);
mg_array *mg_header_new(void); /* uninitialised but for one reference */
void mg_header_free(mg_array *header);

#endif
