/* A libnvidia-ml.so.1 of two GPUs, the second of which is in MIG mode with two instances: as much of NVML as contrib/devices/device_cuda.cc calls, with the signatures of
 * NVIDIA's nvml.h. What varies stands in the file that STUB_STATE names: "lost 0" (the first GPU is lost), "ecc 0 3", "process INDEX PID". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct nvmlDevice { unsigned index; int mig; unsigned gi, ci; const char* uuid; };
typedef struct nvmlDevice* nvmlDevice_t;
typedef struct { unsigned long long total, free, used; } nvmlMemory_t;
typedef struct { unsigned gpu, memory; } nvmlUtilization_t;
typedef struct { char busIdLegacy[16]; unsigned domain, bus, device, pciDeviceId, pciSubSystemId; char busId[32]; } nvmlPciInfo_t;
typedef struct { unsigned a, b, c, d, e, f, gpuInstanceSliceCount, computeInstanceSliceCount; unsigned long long memorySizeMB; } nvmlDeviceAttributes_t;
typedef struct { unsigned pid; unsigned long long usedGpuMemory; unsigned gpuInstanceId, computeInstanceId; } nvmlProcessInfo_t;
enum { OK = 0, UNINITIALIZED = 1, INVALID = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, LOST = 15 };

static struct nvmlDevice gpus[2] = {{0, 0, 0, 0, "GPU-00000000-0000-0000-0000-000000000000"}, {1, 0, 0, 0, "GPU-11111111-1111-1111-1111-111111111111"}};
static struct nvmlDevice parts[2] = {{1, 1, 1, 0, "MIG-aaaaaaaa-0000-0000-0000-000000000000"}, {1, 1, 2, 0, "MIG-bbbbbbbb-0000-0000-0000-000000000000"}};
static int initialized;

/* The number behind "KEY INDEX" in the state; 0: it is not there, 1: without a number. */
static long said(const char* key, unsigned index) {
  char line[256], wanted[64];
  long value = 0;
  FILE* f = getenv("STUB_STATE") ? fopen(getenv("STUB_STATE"), "r") : NULL;
  if (!f) return 0;
  snprintf(wanted, sizeof wanted, "%s %u", key, index);
  while (fgets(line, sizeof line, f))
    if (strncmp(line, wanted, strlen(wanted)) == 0) value = line[strlen(wanted)] == ' ' ? atol(line + strlen(wanted)) : 1;
  fclose(f);
  return value;
}
static int usable(nvmlDevice_t d) { return !initialized ? UNINITIALIZED : !d ? INVALID : said("lost", d->index) ? LOST : OK; }

int nvmlInit_v2(void) { return initialized = 1, OK; }
const char* nvmlErrorString(int code) { return code == LOST ? "GPU is lost" : "an error"; }
int nvmlDeviceGetCount_v2(unsigned* n) { return *n = 2, initialized ? OK : UNINITIALIZED; }
int nvmlDeviceGetHandleByIndex_v2(unsigned i, nvmlDevice_t* d) { return i < 2 ? (*d = &gpus[i], OK) : INVALID; }
int nvmlDeviceGetName(nvmlDevice_t d, char* out, unsigned n) { return snprintf(out, n, "%s", "NVIDIA A100-SXM4-40GB"), usable(d); }
int nvmlDeviceGetUUID(nvmlDevice_t d, char* out, unsigned n) { return snprintf(out, n, "%s", d->uuid), usable(d); }
int nvmlDeviceGetMinorNumber(nvmlDevice_t d, unsigned* out) { return *out = d->index, usable(d); }
int nvmlDeviceGetPciInfo_v3(nvmlDevice_t d, nvmlPciInfo_t* out) {
  return snprintf(out->busId, sizeof out->busId, "00000000:%02X:00.0", 0x3b + d->index), usable(d);
}
int nvmlDeviceGetMemoryInfo(nvmlDevice_t d, nvmlMemory_t* out) {
  out->total = (d->mig ? 4864ull : 40960ull) << 20;
  out->used = 1200ull << 20;
  return usable(d);
}
int nvmlDeviceGetUtilizationRates(nvmlDevice_t d, nvmlUtilization_t* out) { return out->gpu = 35, usable(d); }
int nvmlDeviceGetPowerUsage(nvmlDevice_t d, unsigned* out) { return *out = 250000, usable(d); }
int nvmlDeviceGetTotalEccErrors(nvmlDevice_t d, int type, int counter, unsigned long long* out) {
  return *out = type == 1 && counter == 0 ? (unsigned long long)said("ecc", d->index) : 0, usable(d);
}
int nvmlDeviceGetMigMode(nvmlDevice_t d, unsigned* now, unsigned* later) { return *now = *later = d->index == 1, usable(d); }
int nvmlDeviceGetMaxMigDeviceCount(nvmlDevice_t d, unsigned* out) { return *out = d->index == 1 ? 7 : 0, usable(d); }
int nvmlDeviceGetMigDeviceHandleByIndex(nvmlDevice_t d, unsigned i, nvmlDevice_t* out) {
  return d->index == 1 && i < 2 ? (*out = &parts[i], OK) : NOT_FOUND;
}
int nvmlDeviceGetGpuInstanceId(nvmlDevice_t d, unsigned* out) { return *out = d->gi, d->mig ? OK : INVALID; }
int nvmlDeviceGetComputeInstanceId(nvmlDevice_t d, unsigned* out) { return *out = d->ci, d->mig ? OK : INVALID; }
int nvmlDeviceGetAttributes_v2(nvmlDevice_t d, nvmlDeviceAttributes_t* out) {
  out->gpuInstanceSliceCount = out->computeInstanceSliceCount = 1;
  out->memorySizeMB = 4864;
  return d->mig ? OK : NOT_SUPPORTED;
}
int nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t d, unsigned* n, nvmlProcessInfo_t* out) {
  long pid = said("process", d->index);
  unsigned room = *n;
  *n = 0;
  if (pid && room) {
    nvmlProcessInfo_t one = {(unsigned)pid, 1100ull << 20, d->index == 1 ? 2 : 0xffffffffu, d->index == 1 ? 0 : 0xffffffffu};
    out[(*n)++] = one;
  }
  return usable(d);
}
