/* A stand-in for NVIDIA's driver, libcuda.so.1: memory is the host's, copies are done at once, and a launch calls back.

   It has what numba-cuda and cuda.core ask for when fuse works through them. A call without a context, a grid or a block
   that no GPU takes, and memory that was not given out are errors, as with the driver. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t Pointer;
typedef struct { unsigned grid[3], block[3], shared; void *stream, *attributes; unsigned count; } Config;
typedef void (*Callback)(const char *name, const unsigned *sizes, void *stream, void **arguments);
enum { OK, INVALID, NO_MEMORY, NO_DEVICE = 100, NO_CONTEXT = 201, NOT_FOUND = 500 };

static Callback callback;
void set_callback(Callback given) { callback = given; }

static int context;
static __thread void *contexts[64];
static __thread int depth;
static Pointer handles = 4096;

#define NEEDS_CONTEXT if (!depth || !contexts[depth - 1]) return NO_CONTEXT
#define DRIVER(name, ...) static int drv_##name(__VA_ARGS__)

static int number_of(const char *name, int otherwise) { return getenv(name) ? atoi(getenv(name)) : otherwise; }

/* ---------------------------------------------------------------- the device and its context */
DRIVER(cuInit, unsigned flags) { return OK; }
DRIVER(cuDriverGetVersion, int *version) { *version = 13000; return OK; }
DRIVER(cuDeviceGetCount, int *count) { *count = 1; return OK; }
DRIVER(cuDeviceGet, int *device, int number) { *device = number; return number ? NO_DEVICE + 1 : OK; }
DRIVER(cuDeviceGetName, char *name, int room, int device) { snprintf(name, room, "a stand-in for a GPU"); return OK; }
DRIVER(cuDeviceGetUuid, char *bytes, int device) { memset(bytes, 7, 16); return OK; }
DRIVER(cuDeviceTotalMem, size_t *bytes, int device) { *bytes = (size_t)1 << 34; return OK; }
DRIVER(cuDeviceGetAttribute, int *value, int attribute, int device) {
    int capability = number_of("DRIVER_CAPABILITY", 90);
    switch (attribute) {
    case 1: *value = 1024; break; /* threads of a block */
    case 10: *value = 32; break; /* of a warp */
    case 16: *value = 1; break; /* multiprocessors */
    case 39: *value = 64; break; /* threads of one */
    case 75: *value = capability / 10; break;
    case 76: *value = capability % 10; break;
    default: *value = 1;
    }
    return OK;
}
DRIVER(cuDevicePrimaryCtxRetain, void **made, int device) { *made = &context; return OK; }
DRIVER(cuDevicePrimaryCtxRelease, int device) { return OK; }
DRIVER(cuDevicePrimaryCtxReset, int device) { return OK; }
DRIVER(cuCtxGetCurrent, void **found) { *found = depth ? contexts[depth - 1] : NULL; return OK; }
DRIVER(cuCtxSetCurrent, void *given) { if (!depth) depth = 1; contexts[depth - 1] = given; return OK; }
DRIVER(cuCtxPushCurrent, void *given) { if (depth == 64) return INVALID; contexts[depth++] = given; return OK; }
DRIVER(cuCtxPopCurrent, void **found) { if (!depth) return NO_CONTEXT; *found = contexts[--depth]; return OK; }
DRIVER(cuCtxGetDevice, int *device) { NEEDS_CONTEXT; *device = 0; return OK; }
DRIVER(cuCtxSynchronize, void) { NEEDS_CONTEXT; return OK; }
DRIVER(cuCtxGetStreamPriorityRange, int *least, int *most) { *least = 0; *most = -5; return OK; }

/* ---------------------------------------------------------------- memory */
DRIVER(cuMemGetInfo, size_t *left, size_t *all) { *left = (size_t)1 << 33; *all = (size_t)1 << 34; return OK; }
DRIVER(cuMemAlloc, Pointer *made, size_t bytes) {
    void *room;
    NEEDS_CONTEXT;
    if (bytes > (size_t)number_of("DRIVER_MOST_BYTES", 1 << 30) || posix_memalign(&room, 512, bytes)) return NO_MEMORY;
    memset(room, 0xA5, bytes); /* what nobody has written shows */
    *made = (Pointer)room;
    return OK;
}
DRIVER(cuMemFree, Pointer room) { free((void *)room); return OK; }
DRIVER(cuMemHostAlloc, void **made, size_t bytes, unsigned flags) { *made = malloc(bytes); return *made ? OK : NO_MEMORY; }
DRIVER(cuMemFreeHost, void *room) { free(room); return OK; }
static int moved(void *target, const void *source, size_t bytes) { NEEDS_CONTEXT; memmove(target, source, bytes); return OK; }
DRIVER(cuMemcpyHtoD, Pointer to, const void *from, size_t n) { return moved((void *)to, from, n); }
DRIVER(cuMemcpyDtoH, void *to, Pointer from, size_t n) { return moved(to, (void *)from, n); }
DRIVER(cuMemcpyDtoD, Pointer to, Pointer from, size_t n) { return moved((void *)to, (void *)from, n); }
DRIVER(cuMemcpyHtoDAsync, Pointer to, const void *from, size_t n, void *stream) { return moved((void *)to, from, n); }
DRIVER(cuMemcpyDtoHAsync, void *to, Pointer from, size_t n, void *stream) { return moved(to, (void *)from, n); }
DRIVER(cuMemcpyDtoDAsync, Pointer to, Pointer from, size_t n, void *s) { return moved((void *)to, (void *)from, n); }
DRIVER(cuMemsetD8, Pointer to, unsigned char value, size_t n) { NEEDS_CONTEXT; memset((void *)to, value, n); return OK; }
DRIVER(cuMemsetD8Async, Pointer to, unsigned char value, size_t n, void *s) { return drv_cuMemsetD8(to, value, n); }

/* ---------------------------------------------------------------- streams and events */
static int made(void **handle) { NEEDS_CONTEXT; *handle = (void *)(handles += 16); return OK; }
DRIVER(cuStreamCreate, void **stream, unsigned flags) { return made(stream); }
DRIVER(cuStreamCreateWithPriority, void **stream, unsigned flags, int priority) { return made(stream); }
DRIVER(cuStreamDestroy, void *stream) { return OK; }
DRIVER(cuStreamSynchronize, void *stream) { return OK; }
DRIVER(cuStreamGetCtx, void *stream, void **found) { *found = &context; return OK; }
DRIVER(cuStreamGetDevice, void *stream, int *device) { *device = 0; return OK; }
DRIVER(cuStreamWaitEvent, void *stream, void *event, unsigned flags) { NEEDS_CONTEXT; return OK; }
DRIVER(cuEventCreate, void **event, unsigned flags) { return made(event); }
DRIVER(cuEventDestroy, void *event) { return OK; }
DRIVER(cuEventRecord, void *event, void *stream) { NEEDS_CONTEXT; return OK; }
DRIVER(cuEventSynchronize, void *event) { return OK; }
DRIVER(cuEventElapsedTime, float *milliseconds, void *first, void *last) { *milliseconds = 1; return OK; }

/* ---------------------------------------------------------------- code: a kernel is its name */
DRIVER(cuLibraryLoadData, void **library, const void *code, void *a, void *b, unsigned c, void *d, void *e, unsigned f) {
    return made(library);
}
DRIVER(cuLibraryUnload, void *library) { return OK; }
DRIVER(cuLibraryGetKernel, void **kernel, void *library, const char *name) { *kernel = strdup(name); return OK; }
DRIVER(cuKernelGetAttribute, int *value, int attribute, void *kernel, int device) { *value = attribute ? 0 : 1024; return OK; }
DRIVER(cuLaunchKernelEx, const Config *config, void *kernel, void **arguments, void **extra) {
    const unsigned *grid = config->grid, *block = config->block;
    NEEDS_CONTEXT;
    if (!grid[0] || grid[0] > INT32_MAX || !grid[1] || grid[1] > 65535 || !grid[2] || grid[2] > 65535) return INVALID;
    if (!block[0] || !block[1] || !block[2] || block[0] * block[1] * block[2] > 1024) return INVALID;
    if (callback) callback(kernel, grid, config->stream, arguments);
    return OK;
}
DRIVER(cuGetErrorName, int error, const char **name) {
    static __thread char text[32];
    snprintf(text, sizeof text, "CUDA_ERROR_%d", error);
    *name = text;
    return OK;
}
DRIVER(cuGetErrorString, int error, const char **text) { return drv_cuGetErrorName(error, text); }

/* ---------------------------------------------------------------- how they are found */
#define ENTRY(name) {#name, (void *)drv_##name}
static const struct { const char *name; void *function; } entries[] = {
    ENTRY(cuInit), ENTRY(cuDriverGetVersion), ENTRY(cuDeviceGetCount), ENTRY(cuDeviceGet), ENTRY(cuDeviceGetName),
    ENTRY(cuDeviceGetUuid), ENTRY(cuDeviceTotalMem), ENTRY(cuDeviceGetAttribute), ENTRY(cuDevicePrimaryCtxRetain),
    ENTRY(cuDevicePrimaryCtxRelease), ENTRY(cuDevicePrimaryCtxReset), ENTRY(cuCtxGetCurrent), ENTRY(cuCtxSetCurrent),
    ENTRY(cuCtxPushCurrent), ENTRY(cuCtxPopCurrent), ENTRY(cuCtxGetDevice), ENTRY(cuCtxSynchronize),
    ENTRY(cuCtxGetStreamPriorityRange), ENTRY(cuMemGetInfo), ENTRY(cuMemAlloc), ENTRY(cuMemFree), ENTRY(cuMemHostAlloc),
    ENTRY(cuMemFreeHost), ENTRY(cuMemcpyHtoD), ENTRY(cuMemcpyDtoH), ENTRY(cuMemcpyDtoD), ENTRY(cuMemcpyHtoDAsync),
    ENTRY(cuMemcpyDtoHAsync), ENTRY(cuMemcpyDtoDAsync), ENTRY(cuMemsetD8), ENTRY(cuMemsetD8Async), ENTRY(cuStreamCreate),
    ENTRY(cuStreamCreateWithPriority), ENTRY(cuStreamDestroy), ENTRY(cuStreamSynchronize), ENTRY(cuStreamGetCtx),
    ENTRY(cuStreamGetDevice), ENTRY(cuStreamWaitEvent), ENTRY(cuEventCreate), ENTRY(cuEventDestroy), ENTRY(cuEventRecord),
    ENTRY(cuEventSynchronize), ENTRY(cuEventElapsedTime), ENTRY(cuLibraryLoadData), ENTRY(cuLibraryUnload),
    ENTRY(cuLibraryGetKernel), ENTRY(cuKernelGetAttribute), ENTRY(cuLaunchKernelEx), ENTRY(cuGetErrorName),
    ENTRY(cuGetErrorString),
};

int cuGetProcAddress_v2(const char *name, void **function, int version, uint64_t flags, int *status) {
    *function = strcmp(name, "cuGetProcAddress") ? NULL : (void *)cuGetProcAddress_v2;
    for (size_t k = 0; k < sizeof entries / sizeof *entries; k++)
        if (!strcmp(entries[k].name, name)) *function = entries[k].function;
    if (status) *status = !*function;
    return *function ? OK : NOT_FOUND;
}

/* What fuse.devices asks for by name. */
int cuInit(unsigned flags) { return drv_cuInit(flags); }
int cuDeviceGetCount(int *count) { return drv_cuDeviceGetCount(count); }
int cuDeviceGetName(char *name, int room, int device) { return drv_cuDeviceGetName(name, room, device); }
int cuDeviceGetAttribute(int *value, int a, int device) { return drv_cuDeviceGetAttribute(value, a, device); }
