/* A librocm_smi64.so of two GPUs, with the signatures of AMD's rocm_smi.h: as much as contrib/devices/device_rocm.cc calls. The file that STUB_STATE names may say
 * "silent INDEX": the driver does not answer for that one. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct { uint32_t process_id, pasid; uint64_t vram_usage, sdma_usage; uint32_t cu_occupancy; } rsmi_process_info_t;

static int silent(uint32_t i) {
  char text[4096] = "", wanted[32];
  FILE* f = getenv("STUB_STATE") ? fopen(getenv("STUB_STATE"), "r") : NULL;
  if (!f) return 0;
  text[fread(text, 1, sizeof text - 1, f)] = 0;
  fclose(f);
  snprintf(wanted, sizeof wanted, "silent %u", i);
  return strstr(text, wanted) != NULL;
}

int rsmi_init(uint64_t flags) { return flags ? 1 : 0; }
int rsmi_num_monitor_devices(uint32_t* n) { return *n = 2, 0; }
int rsmi_dev_name_get(uint32_t i, char* out, size_t n) { return snprintf(out, n, "AMD Instinct MI250X"), i < 2 ? 0 : 1; }
int rsmi_dev_unique_id_get(uint32_t i, uint64_t* out) { return *out = 0x1234abcd00000000ull + i, i < 2 ? 0 : 1; }
int rsmi_dev_pci_id_get(uint32_t i, uint64_t* out) { return *out = (uint64_t)(0xc1 + i) << 8, i < 2 ? 0 : 1; }
int rsmi_dev_memory_total_get(uint32_t i, int type, uint64_t* out) { return *out = (uint64_t)65520 << 20, i < 2 && type == 0 ? 0 : 1; }
int rsmi_dev_memory_usage_get(uint32_t i, int type, uint64_t* out) { return *out = (uint64_t)300 << 20, type || silent(i) ? 1 : 0; }
int rsmi_dev_busy_percent_get(uint32_t i, uint32_t* out) { return *out = 7 + i, 0; }
int rsmi_dev_power_ave_get(uint32_t i, uint32_t sensor, uint64_t* out) { return *out = 90000000, (int)(sensor + i * 0); }
int rsmi_compute_process_info_get(rsmi_process_info_t* out, uint32_t* n) {
  if (out && *n) memset(out, 0, sizeof *out), out->process_id = 4711, out->vram_usage = (uint64_t)100 << 20;
  return *n = 1, 0;
}
int rsmi_compute_process_gpus_get(uint32_t pid, uint32_t* out, uint32_t* n) {
  if (out && *n) out[0] = 1;
  return *n = 1, pid == 4711 ? 0 : 1;
}
