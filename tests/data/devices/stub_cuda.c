/* A libcuda.so.1 of one GPU, with the signatures of NVIDIA's cuda.h: for systems that have no NVML. */
#include <stdio.h>
#include <string.h>

typedef struct { char bytes[16]; } CUuuid;
int cuInit(unsigned flags) { return flags ? 1 : 0; }
int cuDeviceGetCount(int* n) { return *n = 1, 0; }
int cuDeviceGet(int* device, int ordinal) { return *device = ordinal, ordinal ? 101 : 0; }
int cuDeviceGetName(char* out, int n, int device) { return snprintf(out, (size_t)n, "Orin"), device ? 101 : 0; }
int cuDeviceGetUuid(CUuuid* out, int device) { return memset(out->bytes, 0xab, 16), device ? 101 : 0; }
int cuDeviceGetPCIBusId(char* out, int n, int device) { return snprintf(out, (size_t)n, "0000:01:00.0"), device ? 101 : 0; }
int cuDeviceTotalMem_v2(size_t* out, int device) { return *out = (size_t)32 << 30, device ? 101 : 0; }
