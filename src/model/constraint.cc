#include "model/constraint.h"

#include <algorithm>

#include "base/text.h"
#include "base/units.h"

namespace bai {
namespace {

using Groups = std::vector<std::vector<std::string>>;  // a disjunction of conjunctions

constexpr std::size_t kMaxGroups = 256;  // after multiplying out

// Recursive descent; the first error stays.
class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Result<Constraint> parse() {
    Constraint out;
    skip();
    if (at_ == text_.size()) return out;
    // Terms joined by &, of which one may be a bracket or a count; or plain alternatives joined by |.
    Groups plain;
    bool special = false, either = false;
    for (;;) {
      if (accept('[')) {
        special = true;
        bracket(out);
      } else {
        Groups term = factor();
        if (accept('*')) {
          special = true;
          out.counts.push_back({{std::move(term)}, number()});
        } else {
          plain = both(plain, term);
        }
      }
      skip();
      if (failed() || at_ == text_.size()) break;
      if (accept('|')) {  // & binds closer, as in Slurm
        Groups rest = expression();
        plain.insert(plain.end(), rest.begin(), rest.end());
        either = true;
        skip();
        break;
      }
      if (!accept('&')) {
        fail("& or | is missing");
        break;
      }
    }
    if (!failed() && at_ != text_.size()) fail("it does not end here");
    if (special && either) fail("brackets and counts are joined by & only");
    if (failed()) return error();
    out.each.any = std::move(plain);
    return out;
  }

 private:
  void skip() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
  }
  bool accept(char c) {
    skip();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  bool failed() const { return why_ != nullptr; }
  void fail(const char* why) {
    if (!why_) why_ = why, where_ = at_;
  }
  Error error() const {
    return {"bad_constraint",
            quote(text_) + " is no constraint: " + why_ + " at character " + std::to_string(where_ + 1), "",
            "join features by & and |, as in (a|b)&c, [a|b] or [a*2&b*4]"};
  }

  // Both hold.
  Groups both(const Groups& a, const Groups& b) {
    if (a.empty()) return b;
    Groups out;
    if (a.size() * b.size() > kMaxGroups) {
      fail("it is too large");
      return out;
    }
    for (const auto& x : a)
      for (const auto& y : b) {
        auto& group = out.emplace_back(x);
        for (const auto& feature : y)
          if (std::find(group.begin(), group.end(), feature) == group.end()) group.push_back(feature);
      }
    return out;
  }
  Groups expression() {
    Groups out = conjunction();
    while (!failed() && accept('|')) {
      Groups more = conjunction();
      out.insert(out.end(), more.begin(), more.end());
      if (out.size() > kMaxGroups) fail("it is too large");
    }
    return out;
  }
  Groups conjunction() {
    Groups out = factor();
    while (!failed() && accept('&')) out = both(out, factor());
    return out;
  }
  Groups factor() {
    if (accept('(')) {
      if (++depth_ > 16) fail("it is nested too deep");
      Groups out;
      if (!failed()) out = expression();
      --depth_;
      if (!accept(')')) fail(") is missing");
      return out;
    }
    skip();
    const auto end = std::min(text_.find_first_of("&|()[]*,: ", at_), text_.size());
    if (end == at_) {
      fail("a feature is missing");
      return {};
    }
    Groups out{{std::string(text_.substr(at_, end - at_))}};
    at_ = end;
    return out;
  }
  std::uint32_t number() {
    skip();
    auto end = text_.find_first_not_of("0123456789", at_);
    end = std::min(end, text_.size());
    auto parsed = parse_int(text_.substr(at_, end - at_), 1, 1'000'000);
    if (!parsed) {
      fail("a count of nodes is missing");
      return 0;
    }
    at_ = end;
    return static_cast<std::uint32_t>(*parsed);
  }
  // After the [: alternatives for all nodes, or counts.
  void bracket(Constraint& out) {
    if (!out.matching.empty() || !out.counts.empty()) return fail("one pair of brackets is enough");
    Groups all;
    bool alternatives = false;
    do {
      Groups term = alternatives ? conjunction() : factor();
      if (failed()) return;
      if (accept('*')) {
        if (alternatives) return fail("counts are joined by & only");
        all.insert(all.end(), term.begin(), term.end());
        out.counts.push_back({{std::move(term)}, number()});
        if (failed() || accept(']')) break;
        if (!accept('&')) return fail("& is missing");
        continue;
      }
      if (!out.counts.empty()) return fail("a count is missing");
      while (accept('&')) term = both(term, factor());
      out.matching.push_back({std::move(term)});
      alternatives = true;
      if (failed() || accept(']')) break;
      if (!accept('|')) return fail("| is missing");
    } while (!failed());
    // Counts in brackets: who has none of the features is not wanted.
    if (!out.counts.empty()) out.matching.push_back({std::move(all)});
  }

  std::string_view text_;
  std::size_t at_ = 0, where_ = 0;
  int depth_ = 0;
  const char* why_ = nullptr;
};

}  // namespace

bool FeatureTest::holds(const std::vector<std::string>& features) const {
  if (any.empty()) return true;
  return std::any_of(any.begin(), any.end(), [&](const auto& group) {
    return std::all_of(group.begin(), group.end(), [&](const std::string& feature) {
      return std::find(features.begin(), features.end(), feature) != features.end();
    });
  });
}

Result<Constraint> parse_constraint(std::string_view text) {
  if (text.size() > 4096) return Error{"bad_constraint", "the constraint is too long", "", "shorten it"};
  return Parser(trim(text)).parse();
}

}  // namespace bai
