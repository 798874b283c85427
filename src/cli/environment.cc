#include "cli/environment.h"

#include <cstdlib>
#include <cstring>

#include "base/text.h"
#include "base/units.h"

namespace bai::cli {
namespace {

struct Assignment {
  std::string name;
  std::string value;
  bool has_value = false;
};

// Splits at commas outside quotes; a value's quotes are taken off.
Result<std::vector<Assignment>> parse_export(std::string_view text) {
  std::vector<Assignment> out;
  std::string word;
  char quoted = 0;
  auto finish = [&]() -> Status {
    if (word.empty()) return {};
    Assignment one;
    const auto equals = word.find('=');
    one.name = word.substr(0, equals);
    if (equals != std::string::npos) {
      one.has_value = true;
      one.value = word.substr(equals + 1);
    }
    if (one.name.empty() || has_control(one.name))
      return Error{"bad_export", quote(word) + " has no variable's name", "", "write NAME or NAME=VALUE"};
    out.push_back(std::move(one));
    word.clear();
    return {};
  };
  for (char c : text) {
    if (c == '\0') return Error{"bad_export", "a NUL byte is not allowed", "", ""};
    if (quoted) {
      if (c == quoted)
        quoted = 0;
      else
        word += c;
    } else if ((c == '"' || c == '\'') && word.find('=') != std::string::npos) {
      quoted = c;
    } else if (c == ',') {
      if (Status status = finish(); !status.ok()) return status.error();
    } else {
      word += c;
    }
  }
  if (quoted) return Error{"bad_export", "a quote is not closed in " + quote(text), "", "close it"};
  if (Status status = finish(); !status.ok()) return status.error();
  return out;
}

std::string_view name_of(std::string_view variable) { return variable.substr(0, variable.find('=')); }

bool replaced(std::string_view name, const std::vector<std::string>& added) {
  for (const auto& variable : added)
    if (name_of(variable) == name) return true;
  return false;
}

}  // namespace

Result<std::string> make_environment(std::string_view export_spec, const char* const* environ,
                                     const std::vector<std::string>& added) {
  bool all = export_spec.empty(), none = false, nil = false;
  std::vector<Assignment> named;
  if (!all) {
    auto parsed = parse_export(export_spec);
    if (!parsed.ok()) return parsed.error();
    for (auto& one : *parsed) {
      if (!one.has_value && iequals(one.name, "ALL"))
        all = true;
      else if (!one.has_value && iequals(one.name, "NONE"))
        none = true;
      else if (!one.has_value && iequals(one.name, "NIL"))
        nil = true;
      else
        named.push_back(std::move(one));
    }
    if ((none || nil) && (all || !named.empty()))
      return Error{"bad_export", "NONE and NIL stand alone", "", "write ALL,NAME=VALUE or a list of names"};
  }
  std::string out;
  auto put = [&](std::string_view variable) {
    out += variable;
    out += '\0';
  };
  auto is_named = [&](std::string_view name) {
    for (const auto& one : named)
      if (one.name == name) return true;
    return false;
  };
  for (const char* const* p = environ; p && *p; ++p) {
    const std::string_view variable = *p;
    const std::string_view name = name_of(variable);
    if (name.empty() || name.size() == variable.size() || replaced(name, added)) continue;
    const bool ours = name.starts_with("SLURM_") || name.starts_with("BAI_");
    const bool who = none && (name == "HOME" || name == "USER" || name == "LOGNAME" || name == "SHELL");
    if ((all && !is_named(name)) || (ours && !is_named(name)) || who) put(variable);
  }
  for (const auto& one : named) {
    if (replaced(one.name, added)) continue;
    if (one.has_value) {
      put(one.name + "=" + one.value);
      continue;
    }
    for (const char* const* p = environ; p && *p; ++p)
      if (name_of(*p) == one.name) put(*p);
  }
  if (none) put("PATH=/usr/local/bin:/usr/bin:/bin");
  for (const auto& variable : added) put(variable);
  return out;
}

namespace {

void both(std::vector<std::string>& out, std::string_view name, std::string_view value) {
  for (std::string_view prefix : {"SLURM_", "BAI_"})
    out.push_back(std::string(prefix) + std::string(name) + "=" + std::string(value));
}

}  // namespace

std::vector<std::string> submit_variables(std::string_view cwd, std::string_view host) {
  std::vector<std::string> out;
  both(out, "SUBMIT_DIR", cwd);
  both(out, "SUBMIT_HOST", host);
  return out;
}

}  // namespace bai::cli
