#include "model/filename.h"

#include "base/text.h"

namespace bai {
namespace {

constexpr std::uint32_t kMaxWidth = 10;
constexpr std::uint32_t kSlurmNoVal = 0xfffffffe;  // what Slurm prints for %a of a job without an array

void put_number(std::string& out, std::uint32_t number, std::uint32_t width) {
  std::string digits = std::to_string(number);
  if (digits.size() < width) out.append(width - digits.size(), '0');
  out += digits;
}

std::string_view short_name(std::string_view host) { return host.substr(0, host.find('.')); }

}  // namespace

std::string expand_filename(std::string_view pattern, const FilenameContext& context) {
  std::string out;
  out.reserve(pattern.size() + 16);
  if (pattern.find('\\') != std::string_view::npos) {
    for (char c : pattern)
      if (c != '\\') out += c;
    return out;
  }
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] != '%') {
      out += pattern[i];
      continue;
    }
    const std::size_t start = i++;
    std::uint32_t width = 0;
    while (i < pattern.size() && is_digit(pattern[i])) {
      if (width < 1000) width = width * 10 + static_cast<std::uint32_t>(pattern[i] - '0');
      ++i;
    }
    if (width > kMaxWidth) width = kMaxWidth;
    const char letter = i < pattern.size() ? pattern[i] : '\0';
    switch (letter) {
      case '%':
        out += '%';
        break;
      case 'A':
        put_number(out, context.array_job ? context.array_job : context.job, width);
        break;
      case 'a':
        put_number(out, context.array_task == kNoTask ? kSlurmNoVal : context.array_task, width);
        break;
      case 'j':
        put_number(out, context.job, width);
        break;
      case 'J':
        put_number(out, context.job, width);
        out += '.';
        out += context.step;
        break;
      case 'n':
        put_number(out, context.node_index, width);
        break;
      case 's':
        out += context.step;
        break;
      case 't':
        put_number(out, context.task, width);
        break;
      case 'u':
        out += context.user;
        break;
      case 'x':
        for (char c : context.job_name) out += c == '/' ? '_' : c;
        break;
      case 'N':
        if (!context.node.empty()) {
          out += short_name(context.node);
          break;
        }
        [[fallthrough]];
      default:
        out += pattern.substr(start, i - start + 1);
    }
  }
  return out;
}

std::string settle_job_name(std::string_view pattern, std::string_view job_name) {
  const bool plain = pattern.find('\\') == pattern.npos && job_name.find('\\') == job_name.npos;
  std::string out;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    const std::size_t start = i;
    if (pattern[i] == '%' && i + 1 < pattern.size()) ++i;
    while (pattern[start] == '%' && i + 1 < pattern.size() && is_digit(pattern[i])) ++i;
    if (!plain || pattern[start] != '%' || pattern[i] != 'x') {
      out += pattern.substr(start, i - start + 1);
      continue;
    }
    for (char c : job_name) out += c == '%' ? "%%" : std::string(1, c);
  }
  return out;
}

std::string expand_path(std::string_view pattern, std::string_view workdir, const FilenameContext& context) {
  if (pattern.empty()) return "/dev/null";
  std::string name = expand_filename(pattern, context);
  if (!name.empty() && name[0] == '/') return name;
  std::string out(workdir);
  if (out.empty() || out.back() != '/') out += '/';
  return out + name;
}

bool is_one_file(std::string_view pattern) {
  if (pattern.find('\\') != std::string_view::npos) return true;
  for (std::size_t i = 0; i + 1 < pattern.size(); ++i) {
    if (pattern[i] != '%') continue;
    ++i;
    while (i < pattern.size() && is_digit(pattern[i])) ++i;
    if (i < pattern.size() &&
        (pattern[i] == 't' || pattern[i] == 'n' || pattern[i] == 'N' || pattern[i] == 's'))
      return false;
  }
  return true;
}

}  // namespace bai
