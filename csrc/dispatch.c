/* Which instruction set computes: the best that the processor has, or the one that MINIGRAD_ISA
 * names.
 *
 * To add one: a file in isa/ that includes template.h, and a row here. */
#include "core.h"

#include <stdio.h>

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#include <sys/types.h>
#endif
#include <sys/utsname.h>

/* From the one that every processor of the architecture has up to the best. */
#if defined(__x86_64__)
extern const mg_isa mg_isa_baseline, mg_isa_avx2, mg_isa_avx512;
#define INSTRUCTION_SETS &mg_isa_baseline, &mg_isa_avx2, &mg_isa_avx512
#define FIRST mg_isa_baseline
#elif defined(__aarch64__)
extern const mg_isa mg_isa_neon;
#define INSTRUCTION_SETS &mg_isa_neon
#define FIRST mg_isa_neon
#else
extern const mg_isa mg_isa_baseline;
#define INSTRUCTION_SETS &mg_isa_baseline
#define FIRST mg_isa_baseline
#endif
static const mg_isa *const instruction_sets[] = {INSTRUCTION_SETS};
#define COUNT ((int)(sizeof instruction_sets / sizeof instruction_sets[0]))

/* Never NULL: kernels may run before, and after a failed, mg_set_isa. */
const mg_isa *mg_active_isa = &FIRST;

const char *mg_isa_name(void) { return mg_active_isa->name; }

int mg_isa_count(void) { return COUNT; }

const char *mg_isa_name_at(int index) {
    return index >= 0 && index < COUNT ? instruction_sets[index]->name : "";
}

int mg_isa_supported(int index) {
    return index >= 0 && index < COUNT && instruction_sets[index]->supported();
}

static const mg_isa *best_isa(void) {
    const mg_isa *best = &FIRST;
    for (int index = 1; index < COUNT; index++)
        if (instruction_sets[index]->supported()) best = instruction_sets[index];
    return best;
}

/* The names of the supported sets, "baseline, avx2", for messages. */
static void list_supported(char *text, size_t bytes) {
    size_t used = 0;
    text[0] = 0;
    for (int index = 0; index < COUNT && used < bytes; index++)
        if (instruction_sets[index]->supported())
            used += (size_t)snprintf(text + used, bytes - used, "%s%s", used ? ", " : "",
                                     instruction_sets[index]->name);
}

/* NULL: what MINIGRAD_ISA says, or the best one where it is not set. Python calls this at import,
 * so that a bad value of the variable is an error with a message. */
int mg_set_isa(const char *name) {
    const char *source = "set_isa";
    if (!name) {
        source = "MINIGRAD_ISA";
        name = getenv("MINIGRAD_ISA");
    }
    const mg_isa *chosen = NULL;
    const char *problem = "is not known here";
    if (!name || !*name)
        chosen = best_isa();
    else if (strcmp(name, "baseline") == 0)
        chosen = &FIRST; /* whatever it is called on this architecture */
    for (int index = 0; index < COUNT && !chosen; index++) {
        if (strcmp(name, instruction_sets[index]->name) != 0) continue;
        if (instruction_sets[index]->supported())
            chosen = instruction_sets[index];
        else
            problem = "is not supported by this processor";
    }
    if (!chosen) {
        char supported[128];
        list_supported(supported, sizeof supported);
        return mg_fail(MG_RUNTIME_ERROR,
                       "%s: instruction set '%.40s' %s; choose one of: %s (or leave it unset)",
                       source, name, problem, supported);
    }
    __atomic_store_n(&mg_active_isa, chosen, __ATOMIC_RELEASE);
    return 0;
}

/* ---- compiler and processor, for `minigrad info` ---- */

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)

const char *mg_compiler(void) {
#if defined(__clang__)
    return "clang " TEXT(__clang_major__) "." TEXT(__clang_minor__) "." TEXT(__clang_patchlevel__);
#elif defined(__GNUC__)
    return "gcc " TEXT(__GNUC__) "." TEXT(__GNUC_MINOR__) "." TEXT(__GNUC_PATCHLEVEL__);
#else
    return "unknown";
#endif
}

static char processor[128]; /* written once, at load */

const char *mg_processor(void) { return processor; }

#if defined(__x86_64__)
/* The brand string: 48 bytes from CPUID leaves 0x80000002 to 0x80000004. */
static void find_processor(void) {
    unsigned int words[12];
    for (unsigned int leaf = 0; leaf < 3; leaf++)
        if (!__get_cpuid(0x80000002 + leaf, &words[4 * leaf], &words[4 * leaf + 1],
                         &words[4 * leaf + 2], &words[4 * leaf + 3]))
            return;
    memcpy(processor, words, sizeof words);
}
#elif defined(__APPLE__)
static void find_processor(void) {
    size_t bytes = sizeof processor - 1;
    sysctlbyname("machdep.cpu.brand_string", processor, &bytes, NULL, 0);
}
#else
static void find_processor(void) {
    static const char *const keys[] = {"model name", "Model", "cpu model", "Hardware"};
    char line[256];
    FILE *file = fopen("/proc/cpuinfo", "re");
    while (file && !processor[0] && fgets(line, sizeof line, file))
        for (size_t key = 0; key < sizeof keys / sizeof keys[0] && !processor[0]; key++) {
            char *value = strncmp(line, keys[key], strlen(keys[key])) ? NULL : strchr(line, ':');
            if (value) snprintf(processor, sizeof processor, "%.120s", value + 1);
        }
    if (file) fclose(file);
}
#endif

/* Removes blanks at both ends. */
static void trim(char *text) {
    size_t begin = strspn(text, " \t\n"), end = strlen(text);
    while (end > begin && strchr(" \t\n", text[end - 1])) end--;
    memmove(text, text + begin, end - begin);
    text[end - begin] = 0;
}

__attribute__((constructor)) static void initialize_dispatch(void) {
#if defined(__x86_64__)
    __builtin_cpu_init(); /* this may run before the compiler runtime's own constructor */
#endif
    if (mg_set_isa(NULL) != 0)
        mg_active_isa = best_isa(); /* Python calls mg_set_isa again and raises the error */
    find_processor();
    trim(processor);
    struct utsname system;
    if (!processor[0] && uname(&system) == 0)
        snprintf(processor, sizeof processor, "%.120s", system.machine);
}
