// What the plugins of this folder share: libraries that are loaded when they are there, devices that own their texts, files of sysfs. Each plugin is one
// shared object and includes this once; one thread.
#pragma once

#include <dirent.h>
#include <dlfcn.h>

#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "device_plugin.h"

namespace plugin {

// A device with its texts.
struct Device {
  std::string id, kind, type, model, local_cpus;
  int numa = -1;
  std::uint32_t flags = 0;
  std::uint64_t memory_mib = 0;
  std::vector<std::string> files, environment;

  void tell(void (*found)(void*, const bai_device*), void* to) const {
    std::vector<const char*> paths, words;
    for (const auto& file : files) paths.push_back(file.c_str());
    for (const auto& entry : environment) words.push_back(entry.c_str());
    paths.push_back(nullptr);
    words.push_back(nullptr);
    bai_device out{};
    out.id = id.c_str();
    out.kind = kind.c_str();
    out.type = type.c_str();
    out.model = model.c_str();
    out.local_cpus = local_cpus.c_str();
    out.numa_node = numa;
    out.flags = flags;
    out.memory_mib = memory_mib;
    out.files = paths.data();
    out.environment = words.data();
    found(to, &out);
  }
};

inline void say(char* why, std::size_t room, const std::string& text) {
  if (why && room) std::snprintf(why, room, "%s", text.c_str());
}

// The first of these libraries that can be loaded; null: none.
inline void* load_library(const std::vector<std::string>& names) {
  for (const auto& name : names)
    if (void* library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL)) return library;
  return nullptr;
}

// Takes a function out of a library; false: it has none of that name.
template <class F>
bool take(void* library, const char* name, F*& function) {
  function = reinterpret_cast<F*>(dlsym(library, name));
  return function != nullptr;
}

inline std::string line_of(const std::string& path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  while (!line.empty() && (line.back() == ' ' || line.back() == '\r' || line.back() == '\t')) line.pop_back();
  return line;
}

inline bool number_of(const std::string& text, long long& out) {
  char* end = nullptr;
  out = std::strtoll(text.c_str(), &end, 0);
  return end != text.c_str();
}

// Names in a directory, in order.
inline std::vector<std::string> names_in(const std::string& dir) {
  std::map<std::string, int> sorted;
  if (DIR* d = opendir(dir.c_str())) {
    while (const dirent* entry = readdir(d))
      if (entry->d_name[0] != '.') sorted[entry->d_name] = 0;
    closedir(d);
  }
  std::vector<std::string> out;
  for (const auto& [name, unused] : sorted) out.push_back(name);
  return out;
}

// NAME=VALUE lines of a file; '#' begins a comment. Several of one name are all kept.
inline std::multimap<std::string, std::string> read_conf(const std::string& path) {
  std::multimap<std::string, std::string> out;
  std::ifstream in(path);
  const auto trimmed = [](std::string text) {
    const auto from = text.find_first_not_of(" \t\r"), to = text.find_last_not_of(" \t\r");
    return from == std::string::npos ? std::string() : text.substr(from, to - from + 1);
  };
  for (std::string line; std::getline(in, line);) {
    line = trimmed(line.substr(0, line.find('#')));
    const auto equals = line.find('=');
    if (equals == std::string::npos) continue;
    std::string name = trimmed(line.substr(0, equals));
    for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    out.emplace(name, trimmed(line.substr(equals + 1)));
  }
  return out;
}

inline std::string value_of(const std::multimap<std::string, std::string>& conf, const std::string& name,
                            const std::string& otherwise = "") {
  const auto it = conf.find(name);
  return it == conf.end() ? otherwise : it->second;
}

// Where a PCI device is: "0000:3b:00.0".
inline void place_by_pci(const std::string& root, const std::string& address, Device& device) {
  const std::string dir = root + "/sys/bus/pci/devices/" + address;
  device.local_cpus = line_of(dir + "/local_cpulist");
  long long node = -1;
  if (number_of(line_of(dir + "/numa_node"), node)) device.numa = static_cast<int>(node);
}

// "NVIDIA A100-SXM4-40GB": "a100" is a word for --gres; the first word that has a digit, without its maker's name.
inline std::string type_of(const std::string& model) {
  std::string word, first;
  for (std::size_t i = 0; i <= model.size(); ++i) {
    const char c = i < model.size() ? model[i] : ' ';
    if (std::isalnum(static_cast<unsigned char>(c))) {
      word += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      continue;
    }
    if (first.empty() && word.find_first_of("0123456789") != std::string::npos) first = word;
    word.clear();
  }
  return first.substr(0, 64);
}

}  // namespace plugin
