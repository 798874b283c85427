// What an option table is asked besides parsing: look-up, precedence, help and completion.
#include <algorithm>
#include <set>

#include "base/options.h"
#include "base/text.h"

namespace bai {

namespace {

constexpr std::size_t kWidth = 80;
constexpr std::size_t kHelpColumn = 30;

// Appends `text` wrapped at words, every line from `column` on; the first line's cursor stands at `at`.
void append_wrapped(std::string& out, std::string_view text, std::size_t column, std::size_t at) {
  bool first = true;
  for (const auto word : split_blanks(text)) {
    const std::size_t width = display_width(word);
    if (!first && at + 1 + width > kWidth) {
      out += '\n';
      out.append(column, ' ');
      at = column;
    } else if (!first) {
      out += ' ';
      ++at;
    }
    out += word;
    at += width;
    first = false;
  }
  out += '\n';
}

std::string left_column(const Option& o) {
  std::string out = o.letter ? std::string("  -") + o.letter + ", " : std::string("      ");
  out = out + "--" + o.name;
  const std::string value = *o.value_name ? o.value_name : "VALUE";
  if (o.arg == ArgKind::required) out += "=" + value;
  if (o.arg == ArgKind::optional) out += "[=" + value + "]";
  return out;
}

}  // namespace

const Option* OptionTable::find(std::string_view name) const {
  for (const auto& option : options) {
    if (name == option.name) return &option;
    for (const char* alias : option.aliases)
      if (name == alias) return &option;
  }
  return nullptr;
}

std::string OptionTable::repeated() const {
  std::set<std::string> seen;
  for (const auto& option : options) {
    std::vector<std::string> names(option.aliases.begin(), option.aliases.end());
    names.emplace_back(option.name);
    if (option.letter != 0) names.push_back(std::string("-") + option.letter);
    for (auto& name : names)
      if (!seen.insert(name).second) return name;
  }
  return {};
}

void Parsed::add(std::vector<Given> more) {
  for (auto& g : more) given.push_back(std::move(g));
}

const Given* Parsed::find(std::string_view name) const { return find_last({name}); }

const Given* Parsed::find_last(std::initializer_list<std::string_view> names) const {
  const Given* best = nullptr;
  for (const auto& g : given) {
    if (std::find(names.begin(), names.end(), std::string_view(g.option->name)) == names.end()) continue;
    if (best == nullptr || g.source >= best->source) best = &g;
  }
  return best;
}

std::string Parsed::value_or(std::string_view name, std::string_view otherwise) const {
  const Given* g = find(name);
  return g && g->has_value ? g->value : std::string(otherwise);
}

std::vector<const Given*> Parsed::all(std::string_view name) const {
  std::vector<const Given*> out;
  const Given* best = find(name);
  for (const auto& g : given)
    if (best && g.option == best->option && g.source == best->source) out.push_back(&g);
  return out;
}

std::string render_help(const OptionTable& table) {
  std::string out = "Usage: " + table.program;
  if (!table.synopsis.empty()) {
    out += ' ';
    append_wrapped(out, table.synopsis, 7, out.size());
  } else {
    out += '\n';
  }
  if (!table.description.empty()) append_wrapped(out, table.description, 0, 0);
  out += "\nOptions:\n";
  for (const auto& option : table.options) {
    if (option.hidden) continue;
    std::string left = left_column(option);
    std::size_t at = display_width(left);
    if (at + 2 > kHelpColumn) {
      left += '\n';
      at = 0;
    }
    left.append(kHelpColumn - at, ' ');
    out += left;
    append_wrapped(out, option.help, kHelpColumn, kHelpColumn);
  }
  if (!table.epilog.empty()) {
    out += '\n';
    out += table.epilog;
    if (out.back() != '\n') out += '\n';
  }
  return out;
}

std::vector<std::string> completion_words(const OptionTable& table) {
  std::vector<std::string> out;
  for (const auto& option : table.options) {
    if (option.hidden) continue;
    out.push_back(std::string("--") + option.name + (option.arg == ArgKind::required ? "=" : ""));
    if (option.letter) out.push_back(std::string("-") + option.letter);
  }
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace bai
