#include "step/confinement.h"

#include <charconv>

#include "step/record.h"

namespace bai::step {

namespace {

// Frozen numbers; never reuse one.
enum Tag : uint16_t {
  kTree = 1,
  kCpuMask = 2,
  kNoNewPrivileges = 3,
  kPrivateDir = 4,
  kSample = 5,
  kMemory = 6,
  kSayBinding = 7
};
enum TreeTag : uint16_t { kParent = 1, kNodeSetting = 2, kJobSetting = 3, kStepSetting = 4 };

constexpr size_t kMaxPathBytes = 4096;
constexpr size_t kMaxBindingWord = 16;

Error bad(const std::string& what) { return Error{"bad_record", "the confinement " + what}; }

std::string encode_setting(const CgroupSetting& s) { return s.file + '\0' + s.value; }

bool take_setting(std::string_view text, std::vector<CgroupSetting>* list) {
  const auto nul = text.find('\0');
  if (nul == text.npos || list->size() >= kMaxSettings || text.size() > kMaxSettingBytes) return false;
  const auto file = text.substr(0, nul);
  // A name in the directory, nothing else.
  if (file.empty() || file.find('/') != file.npos) return false;
  list->push_back({std::string(file), std::string(text.substr(nul + 1))});
  return true;
}

bool take_path(std::string_view text, std::string* path) {
  if (text.empty() || text[0] != '/' || text.size() > kMaxPathBytes || text.find('\0') != text.npos)
    return false;
  *path = text;
  return true;
}

Result<CgroupTree> decode_tree(std::string_view value) {
  auto fields = parse_fields(value, 3 * kMaxSettings + 16);
  if (!fields.ok()) return fields.error();
  CgroupTree tree;
  for (const Field& f : *fields) {
    bool good = true;
    if (f.tag == kParent) good = take_path(f.value, &tree.parent);
    if (f.tag == kNodeSetting) good = take_setting(f.value, &tree.node);
    if (f.tag == kJobSetting) good = take_setting(f.value, &tree.job);
    if (f.tag == kStepSetting) good = take_setting(f.value, &tree.step);
    if (!good) return bad("has a cgroup that is none");
  }
  if (tree.parent.empty()) return bad("has a cgroup without a place");
  return tree;
}

std::string encode_tree(const CgroupTree& tree) {
  RecordWriter w;
  w.text(kParent, tree.parent);
  for (const auto& s : tree.node) w.text(kNodeSetting, encode_setting(s));
  for (const auto& s : tree.job) w.text(kJobSetting, encode_setting(s));
  for (const auto& s : tree.step) w.text(kStepSetting, encode_setting(s));
  return w.body();
}

}  // namespace

std::string format_rule(const DeviceRule& rule) {
  return std::string(rule.block ? "b " : "c ") + std::to_string(rule.major) + ":" +
         (rule.minor < 0 ? "*" : std::to_string(rule.minor)) + " rwm";
}

Result<DeviceRule> parse_rule(std::string_view text) {
  DeviceRule rule;
  const auto wrong = [&] {
    return Error{"bad_record", "no device rule: " + std::string(text.substr(0, 40))};
  };
  if (text.size() < 5 || text[1] != ' ' || (text[0] != 'b' && text[0] != 'c')) return wrong();
  rule.block = text[0] == 'b';
  const char* const end = text.data() + text.size();
  auto major = std::from_chars(text.data() + 2, end, rule.major);
  if (major.ec != std::errc() || major.ptr == end || *major.ptr != ':') return wrong();
  const std::string_view rest(major.ptr + 1, static_cast<size_t>(end - major.ptr - 1));
  if (rest == "* rwm") return rule;
  uint32_t minor = 0;
  auto parsed = std::from_chars(rest.data(), end, minor);
  if (parsed.ec != std::errc() ||
      std::string_view(parsed.ptr, static_cast<size_t>(end - parsed.ptr)) != " rwm")
    return wrong();
  rule.minor = minor;
  return rule;
}

std::string encode_confinement(const Confinement& c) {
  RecordWriter w;
  for (const auto& tree : c.trees) w.text(kTree, encode_tree(tree));
  w.text(kCpuMask, c.cpu_mask);
  w.number(kNoNewPrivileges, c.no_new_privileges);
  for (const auto& dir : c.private_dirs) w.text(kPrivateDir, dir);
  w.number(kSample, c.sample_s);
  w.number(kMemory, c.memory_mib);
  if (!c.say_binding.empty()) w.text(kSayBinding, c.say_binding);
  return w.body();
}

Result<Confinement> decode_confinement(std::string_view value) {
  auto fields = parse_fields(value, kMaxTrees + kMaxPrivateDirs + 64);
  if (!fields.ok()) return fields.error();
  Confinement c;
  for (const Field& f : *fields) {
    switch (f.tag) {
      case kTree: {
        if (c.trees.size() >= kMaxTrees) return bad("has too many cgroups");
        auto tree = decode_tree(f.value);
        if (!tree.ok()) return tree.error();
        c.trees.push_back(std::move(*tree));
        break;
      }
      case kCpuMask:
        if (f.value.size() > kMaxMaskBytes) return bad("names too many processors");
        c.cpu_mask = f.value;
        break;
      case kNoNewPrivileges: {
        auto n = f.number(1);
        if (!n.ok()) return n.error();
        c.no_new_privileges = *n != 0;
        break;
      }
      case kPrivateDir:
        if (c.private_dirs.size() >= kMaxPrivateDirs || !take_path(f.value, &c.private_dirs.emplace_back()))
          return bad("has a private directory that is none");
        break;
      case kSample: {
        auto n = f.number(1u << 30);
        if (!n.ok()) return n.error();
        c.sample_s = static_cast<uint32_t>(*n);
        break;
      }
      case kSayBinding:
        if (f.value.size() > kMaxBindingWord) return bad("has a binding that is none");
        c.say_binding = f.value;
        break;
      case kMemory: {
        auto n = f.number();
        if (!n.ok()) return n.error();
        c.memory_mib = *n;
        break;
      }
      default:
        break;
    }
  }
  return c;
}

}  // namespace bai::step
