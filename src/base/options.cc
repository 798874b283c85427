#include "base/options.h"

#include <algorithm>
#include <boost/program_options/cmdline.hpp>
#include <boost/program_options/errors.hpp>
#include <boost/program_options/options_description.hpp>
#include <boost/program_options/parsers.hpp>
#include <boost/program_options/value_semantic.hpp>
#include <climits>
#include <cstdlib>

#include "base/suggest.h"
#include "base/text.h"

namespace bai {

namespace po = boost::program_options;

namespace {

// Boost counts words per option with this; values stay text and are judged by the command.
class Words : public po::value_semantic {
 public:
  explicit Words(ArgKind kind) : kind_(kind) {}
  std::string name() const override { return "value"; }
  unsigned min_tokens() const override { return kind_ == ArgKind::required ? 1 : 0; }
  unsigned max_tokens() const override { return kind_ == ArgKind::none ? 0 : 1; }
  bool is_composing() const override { return true; }
  bool is_required() const override { return false; }
  void parse(boost::any&, const std::vector<std::string>&, bool) const override {}
  bool apply_default(boost::any&) const override { return false; }
  void notify(const boost::any&) const override {}

 private:
  ArgKind kind_;
};

const char* kPositional = "";

po::option make_positional(const std::string& word) {
  po::option out;
  out.string_key = kPositional;
  out.position_key = INT_MAX;  // Boost's mark for a word that no option may take as its value
  out.value.push_back(word);
  return out;
}

po::option make_option(std::string key, std::string typed) {
  po::option out;
  out.string_key = std::move(key);
  out.original_tokens.push_back(std::move(typed));
  return out;
}

// "-" alone is a word like any other.
bool looks_like_option(std::string_view word) { return word.size() >= 2 && word[0] == '-'; }

// Could one of `words` mean this option? Asked before Boost is, because a description costs microseconds to make and few
// of a table's options are ever given.
bool mentioned(const Option& option, const std::vector<std::string>& words) {
  for (std::string_view word : words) {
    if (!looks_like_option(word)) continue;
    if (word[1] != '-') {
      if (option.letter != 0 && word.find(option.letter) != word.npos) return true;
      continue;
    }
    const std::string_view typed = word.substr(2, word.find('=') - 2);
    if (std::string_view(option.name).starts_with(typed)) return true;
    for (std::string_view alias : option.aliases)
      if (alias.starts_with(typed)) return true;
  }
  return false;
}

// getopt_long's reading of words on top of Boost: the style parser cuts words into option and value, Boost resolves
// names and prefixes and checks that values are there where they must be.
struct Reader {
  po::options_description description;

  Reader(const OptionTable& table, const std::vector<std::string>& words) {
    for (const auto& o : table.options) {
      if (!mentioned(o, words)) continue;
      std::string names = o.name;
      for (const char* alias : o.aliases) names = names + "," + alias;
      if (o.letter != 0) names = names + "," + o.letter;
      description.add(boost::shared_ptr<po::option_description>(
          new po::option_description(names.c_str(), new Words(o.arg))));
    }
  }

  std::vector<po::option> next(std::vector<std::string>& words, bool permute, std::string& typed) const {
    // Plain words go together: each erasure moves all that are left, and somebody cancels a hundred thousand jobs at once.
    const auto option = std::find_if(words.begin(), words.end(), looks_like_option);
    if (permute && option != words.begin()) {
      std::vector<po::option> plain;
      for (auto w = words.begin(); w != option; ++w) plain.push_back(make_positional(*w));
      words.erase(words.begin(), option);
      return plain;
    }
    const std::string word = words.front();
    words.erase(words.begin());
    if (word == "--" || !looks_like_option(word)) {
      std::vector<po::option> rest;
      if (word != "--") rest.push_back(make_positional(word));
      for (const auto& w : words) rest.push_back(make_positional(w));
      words.clear();
      return rest;
    }
    if (word[1] == '-') return {next_long(word, words, typed)};
    return next_letters(word, words, typed);
  }

 private:
  static bool needs_value(const po::option_description* d) { return d && d->semantic()->min_tokens() > 0; }

  static void take_value(po::option& out, std::vector<std::string>& words) {
    if (words.empty()) return;  // Boost says that it is missing
    out.value.push_back(words.front());
    words.erase(words.begin());
  }

  po::option next_long(const std::string& word, std::vector<std::string>& words, std::string& typed) const {
    const auto equals = word.find('=');
    const std::string name = word.substr(2, equals == std::string::npos ? equals : equals - 2);
    typed = "--" + name;
    po::option out = make_option(name, typed);
    // Boost would take "--" and "---x" for prefixes and letters.
    if (name.empty() || name[0] == '-') throw po::unknown_option(typed);
    if (equals != std::string::npos)
      out.value.push_back(word.substr(equals + 1));
    else if (needs_value(description.find_nothrow(name, true)))
      take_value(out, words);
    return out;
  }

  std::vector<po::option> next_letters(const std::string& word, std::vector<std::string>& words,
                                       std::string& typed) const {
    std::vector<po::option> out;
    for (std::size_t i = 1; i < word.size(); ++i) {
      typed = std::string("-") + word[i];
      const auto* d = description.find_nothrow(typed, false);
      if (!d) throw po::unknown_option(typed);
      out.push_back(make_option(typed, typed));
      if (d->semantic()->max_tokens() == 0) continue;
      if (i + 1 < word.size())
        out.back().value.push_back(word.substr(i + 1));
      else if (needs_value(d))
        take_value(out.back(), words);
      break;
    }
    return out;
  }
};

// "--time: message" on the command line, "job.sh:3: --time: message" elsewhere.
Error bad_option(const std::string& typed, const std::string& place, std::string message,
                 std::string remedy = {}) {
  if (!place.empty()) message = typed + ": " + message;
  return Error{"bad_option", std::move(message), place.empty() ? typed : place, std::move(remedy)};
}

std::string suggestion(const OptionTable& table, const std::string& typed) {
  if (typed.starts_with("--")) {
    std::vector<std::string_view> known;
    for (const auto& o : table.options)
      if (!o.hidden) known.push_back(o.name);
    if (const auto near = nearest_word(std::string_view(typed).substr(2), known))
      return "did you mean '--" + std::string(*near) + "'?";
  }
  return table.find("help") ? "see '" + table.program + " --help'" : std::string();
}

Result<Parsed> convert(const OptionTable& table, const po::parsed_options& parsed, Source source,
                       const std::string& place) {
  Parsed out;
  for (const auto& option : parsed.options) {
    if (option.string_key.empty()) {
      out.rest.push_back(option.value.front());
      continue;
    }
    Given given;
    given.option = table.find(option.string_key);
    given.source = source;
    given.place = place.empty() ? option.original_tokens.front() : place;
    if (!option.value.empty()) {
      given.value = option.value.front();
      given.has_value = true;
    }
    out.given.push_back(std::move(given));
  }
  return out;
}

// Words through Boost; `typed` follows the option that is being read, for the messages.
Result<Parsed> read(const OptionTable& table, bool permute, const std::vector<std::string>& words,
                    Source source, const std::string& place) {
  std::string typed;
  try {
    const Reader reader(table, words);
    po::command_line_parser parser(words);
    parser.options(reader.description)
        .style(po::command_line_style::unix_style)
        .extra_style_parser(
            [&](std::vector<std::string>& left) { return reader.next(left, permute, typed); });
    return convert(table, parser.run(), source, place);
  } catch (const po::ambiguous_option& e) {
    std::vector<std::string> names;
    for (const auto& name : e.alternatives()) names.push_back("--" + name);
    return bad_option(typed, place, "could be any of " + join(names, ", "), "write more of it");
  } catch (const po::unknown_option&) {
    return bad_option(typed, place, "unknown option", suggestion(table, typed));
  } catch (const po::invalid_command_line_syntax& e) {
    if (e.kind() == po::invalid_syntax::extra_parameter) return bad_option(typed, place, "takes no value");
    return bad_option(typed, place, "needs a value");
  } catch (const std::exception& e) {
    return bad_option(typed, place, e.what());
  }
}

}  // namespace

Result<Parsed> OptionParser::parse(const std::vector<std::string>& words) const {
  return read(table_, table_.permute, words, Source::command_line, "");
}

Result<Parsed> OptionParser::parse(int argc, const char* const* argv) const {
  std::vector<std::string> words;
  for (int i = 1; i < argc; ++i) words.emplace_back(argv[i]);
  return parse(words);
}

Result<std::vector<Given>> OptionParser::parse_directive_words(const std::vector<std::string>& words,
                                                               const std::string& place) const {
  auto parsed = read(table_, false, words, Source::directive, place);
  if (!parsed) return parsed.error();
  if (!parsed->rest.empty())
    return Error{"bad_option", quote(parsed->rest.front()) + " is not an option", place,
                 "a directive holds options only; put a value against its option"};
  for (const auto& given : parsed->given)
    if (!given.option->directive)
      return bad_option(std::string("--") + given.option->name, place, "may not stand in a script",
                        "give it on the command line");
  return std::move(parsed->given);
}

Result<std::vector<Given>> OptionParser::from_environment(const std::vector<std::string>& prefixes,
                                                          const char* const* environment) const {
  std::vector<Given> out;
  std::vector<std::string_view> mine;  // usually none: then the table need not be looked through
  for (; *environment != nullptr; ++environment)
    for (const auto& prefix : prefixes)
      if (std::string_view(*environment).starts_with(prefix)) {
        mine.emplace_back(*environment);
        break;
      }
  if (mine.empty()) return out;
  for (const auto& option : table_.options) {
    if (*option.env == 0) continue;
    for (const auto& prefix : prefixes) {
      const std::string name = prefix + option.env;
      const auto set = std::find_if(mine.begin(), mine.end(), [&](std::string_view v) {
        return v.size() > name.size() && v[name.size()] == '=' && v.starts_with(name);
      });
      if (set == mine.end()) continue;
      const std::string_view value = set->substr(name.size() + 1);
      if (value.empty() && option.arg == ArgKind::required) continue;
      Given given{&option, {}, false, Source::environment, name};
      if (option.arg != ArgKind::none && !value.empty()) {
        given.value = value;
        given.has_value = true;
      }
      out.push_back(std::move(given));
      break;
    }
  }
  return out;
}

Result<Parsed> parse_options(const OptionTable& table, int argc, const char* const* argv) {
  return OptionParser(table).parse(argc, argv);
}

}  // namespace bai
