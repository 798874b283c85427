#include "base/options.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

namespace bai {
namespace {

const OptionTable& submit() {
  static const OptionTable table{
      .program = "bai-submit",
      .synopsis = "[OPTION...] [SCRIPT [ARGUMENT...]]",
      .description = "Submit a job script.",
      .options =
          {
              {.name = "ntasks",
               .letter = 'n',
               .arg = ArgKind::required,
               .value_name = "N",
               .help = "number of tasks",
               .directive = true,
               .env = "NTASKS"},
              {.name = "time",
               .letter = 't',
               .arg = ArgKind::required,
               .help = "time limit",
               .directive = true,
               .env = "TIMELIMIT"},
              {.name = "time-min", .arg = ArgKind::required, .help = "least time limit", .directive = true},
              {.name = "hold", .letter = 'H', .help = "submit held", .directive = true, .env = "HOLD"},
              {.name = "exclusive",
               .letter = 'e',
               .arg = ArgKind::optional,
               .value_name = "user",
               .help = "share nodes with nobody, or with one's own jobs only; this text is long enough to "
                       "need wrapping",
               .directive = true,
               .env = "EXCLUSIVE"},
              {.name = "comment", .arg = ArgKind::required, .help = "a text", .directive = true},
              {.name = "requeue", .help = "requeue", .directive = true},
              {.name = "no-requeue", .help = "do not requeue", .directive = true},
              {.name = "wrap", .arg = ArgKind::required, .help = "a command line"},
              {.name = "gres",
               .arg = ArgKind::required,
               .help = "devices",
               .directive = true,
               .repeatable = true},
              {.name = "chdir",
               .letter = 'D',
               .arg = ArgKind::required,
               .help = "directory",
               .aliases = {"workdir"}},
              {.name = "secret", .help = "hidden", .hidden = true},
              {.name = "help", .help = "this text"},
          },
  };
  return table;
}

// "name=<value> ... | rest ..." or the error.
std::string show(const Result<Parsed>& got) {
  if (!got)
    return got.error().code == "bad_option" ? got.error().text() : "unexpected code " + got.error().code;
  std::string out;
  for (const auto& g : got->given) {
    if (!out.empty()) out += ' ';
    out += g.option->name;
    if (g.has_value) out += "=<" + g.value + ">";
  }
  if (!got->rest.empty()) out += out.empty() ? "|" : " |";
  for (const auto& word : got->rest) out += " " + word;
  return out;
}

std::string parse(const std::vector<std::string>& words) { return show(OptionParser(submit()).parse(words)); }

TEST(Options, letters_as_getopt_reads_them) {
  EXPECT_EQ(parse({"-n", "4"}), "ntasks=<4>");
  EXPECT_EQ(parse({"-n4"}), "ntasks=<4>");
  EXPECT_EQ(parse({"-Hn4"}), "hold ntasks=<4>");
  EXPECT_EQ(parse({"-Hn", "4"}), "hold ntasks=<4>");
  EXPECT_EQ(parse({"-HH"}), "hold hold");
  EXPECT_EQ(parse({"-n=4"}), "ntasks=<=4>");
  EXPECT_EQ(parse({"-e", "x"}), "exclusive | x");
  EXPECT_EQ(parse({"-euser", "x"}), "exclusive=<user> | x");
  EXPECT_EQ(parse({"-He"}), "hold exclusive");
}

TEST(Options, long_names) {
  EXPECT_EQ(parse({"--ntasks=4"}), "ntasks=<4>");
  EXPECT_EQ(parse({"--ntasks", "4", "--hold"}), "ntasks=<4> hold");
  EXPECT_EQ(parse({"--comment=a=b"}), "comment=<a=b>");
  EXPECT_EQ(parse({"--comment="}), "comment=<>");
  EXPECT_EQ(parse({"--comment", ""}), "comment=<>");
  EXPECT_EQ(parse({"--exclusive", "user"}), "exclusive | user");
  EXPECT_EQ(parse({"--exclusive=user", "script"}), "exclusive=<user> | script");
  EXPECT_EQ(parse({"--workdir=/x"}), "chdir=</x>");
}

TEST(Options, unique_prefixes) {
  EXPECT_EQ(parse({"--nt=4", "--hol"}), "ntasks=<4> hold");
  EXPECT_EQ(parse({"--time=1"}), "time=<1>");
  EXPECT_EQ(parse({"--time-m=1"}), "time-min=<1>");
  EXPECT_EQ(parse({"--ti=1"}), "--ti: could be any of --time, --time-min (write more of it)");
  EXPECT_EQ(parse({"--work", "/x"}), "chdir=</x>");
}

TEST(Options, values_may_begin_with_a_dash) {
  EXPECT_EQ(parse({"-n", "-4"}), "ntasks=<-4>");
  EXPECT_EQ(parse({"--comment", "--hold"}), "comment=<--hold>");
  EXPECT_EQ(parse({"--wrap", "-n 4"}), "wrap=<-n 4>");
  EXPECT_EQ(parse({"--comment", "--"}), "comment=<-->");
}

TEST(Options, parsing_ends_at_the_first_word) {
  EXPECT_EQ(parse({"-H", "job.sh", "-n", "4", "--bogus"}), "hold | job.sh -n 4 --bogus");
  EXPECT_EQ(parse({"--", "-n", "4"}), "| -n 4");
  EXPECT_EQ(parse({"job.sh", "--", "x"}), "| job.sh -- x");
  EXPECT_EQ(parse({"-", "-n", "4"}), "| - -n 4");
  EXPECT_EQ(parse({"", "-n", "4"}), "|  -n 4");
  EXPECT_EQ(parse({}), "");
}

TEST(Options, permuting_tables_read_on) {
  OptionTable table = submit();
  table.permute = true;
  const OptionParser parser(table);
  EXPECT_EQ(show(parser.parse({"7", "-n", "4", "8", "-e", "9"})), "ntasks=<4> exclusive | 7 8 9");
  EXPECT_EQ(show(parser.parse({"7", "--", "-n", "4"})), "| 7 -n 4");
  EXPECT_EQ(show(parser.parse({"7", "", "-", "8", "-n4", "9", "10"})), "ntasks=<4> | 7  - 8 9 10");
}

// As many as an argument list holds: by the square of their number it would take minutes.
TEST(Options, half_a_million_words_are_read_at_once) {
  OptionTable table = submit();
  table.permute = true;
  const auto got = OptionParser(table).parse(std::vector<std::string>(500'000, "7"));
  ASSERT_TRUE(got);
  EXPECT_EQ(got->rest.size(), 500'000u);
}

TEST(Options, argv_skips_the_program) {
  const char* argv[] = {"bai-submit", "-n4", "x", nullptr};
  EXPECT_EQ(show(parse_options(submit(), 3, argv)), "ntasks=<4> | x");
  EXPECT_EQ(show(parse_options(submit(), 1, argv)), "");
}

TEST(Options, mistakes_name_the_option_and_the_remedy) {
  EXPECT_EQ(parse({"--ntaks=4"}), "--ntaks: unknown option (did you mean '--ntasks'?)");
  EXPECT_EQ(parse({"--qqqqqqqqqq"}), "--qqqqqqqqqq: unknown option (see 'bai-submit --help')");
  EXPECT_EQ(parse({"-Hz4"}), "-z: unknown option (see 'bai-submit --help')");
  EXPECT_EQ(parse({"-n"}), "-n: needs a value");
  EXPECT_EQ(parse({"--ntasks"}), "--ntasks: needs a value");
  EXPECT_EQ(parse({"--hold=yes"}), "--hold: takes no value");
  EXPECT_EQ(parse({"--hold="}), "--hold: takes no value");
  EXPECT_EQ(parse({"---n", "4"}), "---n: unknown option (see 'bai-submit --help')");
  EXPECT_EQ(parse({"--=4"}), "--: unknown option (see 'bai-submit --help')");
  EXPECT_EQ(parse({"--n*"}), "--n*: unknown option (see 'bai-submit --help')");
}

TEST(Options, places_say_what_was_typed) {
  const auto got = OptionParser(submit()).parse({"--nt=4", "-Ht5"});
  ASSERT_TRUE(got);
  ASSERT_EQ(got->given.size(), 3u);
  EXPECT_EQ(got->given[0].place, "--nt");
  EXPECT_EQ(got->given[1].place, "-H");
  EXPECT_EQ(got->given[2].place, "-t");
}

TEST(Options, directives) {
  const OptionParser parser(submit());
  const auto got = parser.parse_directive_words({"-n", "4", "--hold"}, "job.sh:3");
  ASSERT_TRUE(got);
  ASSERT_EQ(got->size(), 2u);
  EXPECT_EQ((*got)[0].place, "job.sh:3");
  EXPECT_EQ((*got)[0].source, Source::directive);
  const auto error = [&](const std::vector<std::string>& words) {
    const auto r = parser.parse_directive_words(words, "job.sh:3");
    return r ? std::string("fine") : r.error().text();
  };
  EXPECT_EQ(error({"--wrap=x"}), "job.sh:3: --wrap: may not stand in a script (give it on the command line)");
  EXPECT_EQ(error({"--tme=1"}), "job.sh:3: --tme: unknown option (did you mean '--time'?)");
  EXPECT_EQ(error({"-n"}), "job.sh:3: -n: needs a value");
  EXPECT_EQ(
      error({"-H", "word"}),
      "job.sh:3: 'word' is not an option (a directive holds options only; put a value against its option)");
  EXPECT_EQ(error({}), "fine");
}

TEST(Options, environment) {
  const char* const vars[] = {"SBATCH_NTASKS=1",
                              "BAI_SUBMIT_NTASKS=2",
                              "SBATCH_TIMELIMIT=9",
                              "BAI_SUBMIT_TIMELIMIT=",
                              "SBATCH_HOLD=",
                              "SBATCH_EXCLUSIVE=",
                              "SBATCH_COMMENT=no",
                              "SBATCH_NTASKS=7",
                              "NTASKS=3",
                              "SBATCH_NTASKS_=4",
                              "SBATCH_",
                              nullptr};
  Parsed parsed;
  parsed.add(OptionParser(submit()).from_environment({"BAI_SUBMIT_", "SBATCH_"}, vars).value());
  EXPECT_EQ(show(parsed), "ntasks=<2> time=<9> hold exclusive");
  EXPECT_EQ(parsed.given[0].place, "BAI_SUBMIT_NTASKS");
  EXPECT_EQ(parsed.given[1].place, "SBATCH_TIMELIMIT");
}

TEST(Options, stronger_sources_win_whatever_the_order) {
  const OptionParser parser(submit());
  Parsed p = parser.parse({"--no-requeue", "-t1", "-t2", "--gres=a", "--gres=b"}).value();
  p.add(parser.parse_directive_words({"--requeue", "-t", "3", "-n5", "--gres=c"}, "job.sh:2").value());
  p.add(parser.parse_directive_words({"-n6"}, "job.sh:3").value());
  EXPECT_EQ(p.value_or("time", ""), "2");
  EXPECT_EQ(p.value_or("ntasks", ""), "6");
  EXPECT_EQ(p.value_or("comment", "none"), "none");
  EXPECT_TRUE(p.has("requeue"));
  EXPECT_STREQ(p.find_last({"requeue", "no-requeue"})->option->name, "no-requeue");
  const auto gres = p.all("gres");
  ASSERT_EQ(gres.size(), 2u);
  EXPECT_EQ(gres[0]->value, "a");
  EXPECT_EQ(gres[1]->value, "b");
  EXPECT_TRUE(p.all("wrap").empty());
}

TEST(Options, help_fits_a_terminal) {
  const std::string help = render_help(submit());
  EXPECT_TRUE(help.starts_with(
      "Usage: bai-submit [OPTION...] [SCRIPT [ARGUMENT...]]\nSubmit a job script.\n\nOptions:\n"));
  EXPECT_NE(help.find("  -n, --ntasks=N              number of tasks\n"), std::string::npos) << help;
  EXPECT_NE(help.find("  -e, --exclusive[=user]      share nodes"), std::string::npos) << help;
  EXPECT_EQ(help.find("secret"), std::string::npos);
  EXPECT_EQ(help.back(), '\n');
  std::size_t begin = 0;
  for (std::size_t end; (end = help.find('\n', begin)) != std::string::npos; begin = end + 1)
    EXPECT_LE(end - begin, 80u) << help.substr(begin, end - begin);
}

TEST(Options, completion_offers_what_is_not_hidden) {
  const auto words = completion_words(submit());
  const auto has = [&](std::string_view w) {
    return std::find(words.begin(), words.end(), w) != words.end();
  };
  EXPECT_TRUE(has("--ntasks="));
  EXPECT_TRUE(has("-n"));
  EXPECT_TRUE(has("--hold"));
  EXPECT_TRUE(has("--exclusive"));
  EXPECT_FALSE(has("--secret"));
  EXPECT_TRUE(std::is_sorted(words.begin(), words.end()));
}

TEST(Options, a_table_that_contradicts_itself_says_so) {
  EXPECT_EQ(submit().repeated(), "");
  OptionTable letters = submit(), names = submit();
  letters.options.push_back({.name = "another", .letter = 'n'});
  EXPECT_EQ(letters.repeated(), "-n");
  names.options.push_back({.name = "another", .aliases = {names.options.front().name}});
  EXPECT_EQ(names.repeated(), names.options.front().name);
}

}  // namespace
}  // namespace bai
