#include "step/device_filter.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

#include "base/fd.h"

namespace bai::step {

namespace {

constexpr int kType = 2, kMajor = 3, kMinor = 4;  // registers; 1 holds the context, 0 the answer

uint64_t instruction(uint8_t code, int dst, int src, int16_t offset, int32_t value) {
  bpf_insn out{};
  out.code = code;
  out.dst_reg = static_cast<uint8_t>(dst & 15);
  out.src_reg = static_cast<uint8_t>(src & 15);
  out.off = offset;
  out.imm = value;
  uint64_t bits = 0;
  static_assert(sizeof out == sizeof bits);
  memcpy(&bits, &out, sizeof bits);
  return bits;
}

uint64_t load(int reg, size_t offset) {
  return instruction(BPF_LDX | BPF_MEM | BPF_W, reg, 1, static_cast<int16_t>(offset), 0);
}
uint64_t skip_unless(int reg, uint32_t value, int16_t count) {
  return instruction(BPF_JMP32 | BPF_JNE | BPF_K, reg, 0, count, static_cast<int32_t>(value));
}
uint64_t answer(int32_t value) { return instruction(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, value); }
uint64_t leave() { return instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0); }

}  // namespace

std::vector<uint64_t> device_program(const std::vector<DeviceRule>& denied) {
  std::vector<uint64_t> out = {load(kType, offsetof(bpf_cgroup_dev_ctx, access_type)),
                               instruction(BPF_ALU | BPF_AND | BPF_K, kType, 0, 0, 0xffff),
                               load(kMajor, offsetof(bpf_cgroup_dev_ctx, major)),
                               load(kMinor, offsetof(bpf_cgroup_dev_ctx, minor))};
  for (const auto& rule : denied) {
    const int16_t minors = rule.minor < 0 ? 0 : 1;
    out.push_back(skip_unless(kType, rule.block ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR,
                              static_cast<int16_t>(3 + minors)));
    out.push_back(skip_unless(kMajor, rule.major, static_cast<int16_t>(2 + minors)));
    if (minors) out.push_back(skip_unless(kMinor, static_cast<uint32_t>(rule.minor), 2));
    out.push_back(answer(0));
    out.push_back(leave());
  }
  out.push_back(answer(1));
  out.push_back(leave());
  return out;
}

Status deny_devices(const std::string& dir, const std::vector<DeviceRule>& denied) {
  const std::vector<uint64_t> code = device_program(denied);
  const Fd place(open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!place) return errno_error("cannot open", dir, errno);
  bpf_attr load{};
  load.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  load.expected_attach_type = BPF_CGROUP_DEVICE;
  load.insns = reinterpret_cast<uint64_t>(code.data());
  load.insn_cnt = static_cast<uint32_t>(code.size());
  load.license = reinterpret_cast<uint64_t>("Apache-2.0");
  const Fd program(static_cast<int>(syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof load)));
  if (!program) return errno_error("the kernel takes no device program", dir, errno);
  bpf_attr attach{};
  attach.target_fd = static_cast<uint32_t>(place.get());
  attach.attach_bpf_fd = static_cast<uint32_t>(program.get());
  attach.attach_type = BPF_CGROUP_DEVICE;
  attach.attach_flags = BPF_F_ALLOW_MULTI;
  if (syscall(SYS_bpf, BPF_PROG_ATTACH, &attach, sizeof attach) != 0)
    return errno_error("cannot attach the device program", dir, errno);
  return {};
}

}  // namespace bai::step
