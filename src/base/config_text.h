// The grammar of bai.conf, which is slurm.conf's (slurm.conf(5), and Slurm's parse_config.c where that is silent):
// lines of `Key=Value Key=Value ...`, "quoted values", # comments (\# for the character, also in quotes), a trailing
// backslash to go on with the next line, `Include FILE`. What the keys mean is judged elsewhere (model/config.h).
// Pure functions; any thread.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace bai {

struct ConfigItem {
  std::string key;    // as written; keys compare without case
  std::string value;  // without quotes and escapes; may be empty
  int line = 0;       // where the key stands, counted from 1 (differs from ConfigLine's after a continuation)
  int column = 0;     // in bytes, counted from 1
};

struct ConfigLine {
  std::string file;
  int line = 0;  // the first one of a continued line, counted from 1
  std::vector<ConfigItem> items;

  // "FILE:LINE", the place for an Error.
  std::string place() const;
  std::string place(const ConfigItem& item) const;
  // The item with that key (without case), or nullptr.
  const ConfigItem* find(std::string_view key) const;
};

// Gives a file's text. Paths are as written, save that a relative Include is put beside the including file.
using ConfigReader = std::function<Result<std::string>(const std::string& path)>;

struct ConfigLimits {
  std::size_t max_bytes = 16u << 20;  // of all files together
  std::size_t max_lines = 200'000;    // physical, of all files together
  int max_depth = 8;                  // Includes within Includes
};

// Reads `path` and all that it includes, in order. Errors have the code bad_config and the place FILE:LINE.
Result<std::vector<ConfigLine>> parse_config(const std::string& path, const ConfigReader& read,
                                             const ConfigLimits& limits = {});

// The same for a text that is already here; an Include in it is an error.
Result<std::vector<ConfigLine>> parse_config_text(std::string_view text, const std::string& name,
                                                  const ConfigLimits& limits = {});

// A value as it must be written to be read back: quoted if need be, # and backslashes escaped.
std::string quote_config_value(std::string_view value);

// Keys are equal when they differ in ASCII case only.
bool same_key(std::string_view a, std::string_view b);

}  // namespace bai
