#include "base/time.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>
#include <optional>

namespace bai {
namespace {

// Local time is part of what is tested, so each test says which.
class LocalTime : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const char* tz = std::getenv("TZ")) before_ = tz;
    use("UTC0");
  }
  void TearDown() override {
    before_ ? setenv("TZ", before_->c_str(), 1) : unsetenv("TZ");
    tzset();
  }
  static void use(const char* tz) {
    setenv("TZ", tz, 1);
    tzset();
  }

 private:
  std::optional<std::string> before_;
};

using ParseWhen = LocalTime;
using Timestamp = LocalTime;

// 2026-03-17T14:30:20 UTC, a Tuesday.
constexpr Time kNow = Time::from_seconds(1773757820);

std::string when(std::string_view text, When mode = When::kFuture, Time now = kNow) {
  const Result<Time> t = parse_when(text, now, mode);
  return t.ok() ? format_timestamp(*t) : t.error().code;
}

TEST(Time, is_microseconds) {
  EXPECT_FALSE(Time{}.is_set());
  EXPECT_EQ(Time{1'999'999}.seconds(), 1);
  EXPECT_EQ(Time{-1}.seconds(), -1);
  EXPECT_EQ(Time{-1'000'000}.seconds(), -1);
  EXPECT_EQ(Time::from_seconds(5) + 3, Time::from_seconds(8));
  EXPECT_EQ(Time::from_seconds(5) - 3, Time::from_seconds(2));
  EXPECT_EQ(Time::from_seconds(5) - Time::from_seconds(2), 3);
  EXPECT_LT(Time{1}, Time{2});
  EXPECT_EQ(kFarFuture + 1, kFarFuture);
  EXPECT_EQ(Time{1} + INT64_MAX, kFarFuture);
}

TEST(TimeLimit, takes_every_form) {
  EXPECT_EQ(*parse_time_limit("30"), 30 * 60);
  EXPECT_EQ(*parse_time_limit("0"), 0);
  EXPECT_EQ(*parse_time_limit("1:30:00"), 5400);
  EXPECT_EQ(*parse_time_limit("90:00"), 5400);
  EXPECT_EQ(*parse_time_limit("2-12"), (48 + 12) * 3600);
  EXPECT_EQ(*parse_time_limit("2-12:30"), (48 + 12) * 3600 + 1800);
  EXPECT_EQ(*parse_time_limit("2-12:30:00"), (48 + 12) * 3600 + 1800);
  EXPECT_EQ(*parse_time_limit(" 5 "), 300);
  for (const char* none : {"-1", "INFINITE", "unlimited", "UNLIMITED", "infinite"}) {
    EXPECT_EQ(*parse_time_limit(none), kUnlimited) << none;
  }
}

TEST(TimeLimit, rounds_up_to_minutes) {
  EXPECT_EQ(*parse_time_limit("0:01"), 60);
  EXPECT_EQ(*parse_time_limit("1:00"), 60);
  EXPECT_EQ(*parse_time_limit("1:01"), 120);
  EXPECT_EQ(*parse_duration("1:01"), 61);
  EXPECT_EQ(*parse_duration("0:00:05"), 5);
}

TEST(TimeLimit, refuses) {
  for (const char* bad :
       {"",           " ",         "-",   "-2",   "1-",      "-1:00",       "1-2-3",
        "1:2:3:4",    "1-2:3:4:5", ":",   "1:",   ":1",      "1::2",        "10m",
        "1.5",        "+5",        "1 2", "0x10", "infinit", "99999999999", "9999999999999999999999",
        "999999999-0"}) {
    const Result<Seconds> r = parse_time_limit(bad);
    ASSERT_FALSE(r.ok()) << bad << " gave " << *r;
    EXPECT_EQ(r.error().code, "bad_time") << bad;
    EXPECT_FALSE(r.error().remedy.empty()) << bad;
  }
}

TEST(Duration, prints_as_squeue) {
  EXPECT_EQ(format_duration(0), "0:00");
  EXPECT_EQ(format_duration(5), "0:05");
  EXPECT_EQ(format_duration(65), "1:05");
  EXPECT_EQ(format_duration(3600), "1:00:00");
  EXPECT_EQ(format_duration(36 * 3600 + 61), "1-12:01:01");
  EXPECT_EQ(format_duration(kUnlimited), "UNLIMITED");
  EXPECT_EQ(format_duration(-5), "INVALID");
}

TEST(Duration, prints_as_sacct) {
  EXPECT_EQ(format_duration_full(0), "00:00:00");
  EXPECT_EQ(format_duration_full(65), "00:01:05");
  EXPECT_EQ(format_duration_full(36 * 3600 + 61), "1-12:01:01");
  EXPECT_EQ(format_duration_full(kUnlimited), "UNLIMITED");
}

TEST(Duration, what_is_printed_parses_back) {
  for (Seconds s = 0; s < 400'000; s += 61) {
    EXPECT_EQ(*parse_duration(format_duration_full(s)), s);
    EXPECT_EQ(*parse_duration(format_duration(s)), s);
  }
}

TEST_F(ParseWhen, now_and_offsets) {
  EXPECT_EQ(when("now"), "2026-03-17T14:30:20");
  EXPECT_EQ(when("NOW"), "2026-03-17T14:30:20");
  EXPECT_EQ(when("now+90"), "2026-03-17T14:31:50");
  EXPECT_EQ(when("now+5minutes"), "2026-03-17T14:35:20");
  EXPECT_EQ(when("now + 1 hour"), "2026-03-17T15:30:20");
  EXPECT_EQ(when("now+2days"), "2026-03-19T14:30:20");
  EXPECT_EQ(when("now+1week"), "2026-03-24T14:30:20");
  EXPECT_EQ(when("now-1hour", When::kPast), "2026-03-17T13:30:20");
  EXPECT_EQ(when("now+5min"), "2026-03-17T14:35:20");
}

TEST_F(ParseWhen, time_of_day_is_the_next_one_or_todays) {
  EXPECT_EQ(when("16:00"), "2026-03-17T16:00:00");
  EXPECT_EQ(when("14:30"), "2026-03-18T14:30:00");
  EXPECT_EQ(when("9:05:07"), "2026-03-18T09:05:07");
  EXPECT_EQ(when("9:05", When::kPast), "2026-03-17T09:05:00");
  EXPECT_EQ(when("4:00PM"), "2026-03-17T16:00:00");
  EXPECT_EQ(when("4:00 pm"), "2026-03-17T16:00:00");
  EXPECT_EQ(when("12:15am"), "2026-03-18T00:15:00");
  EXPECT_EQ(when("12:15pm"), "2026-03-18T12:15:00");
  EXPECT_EQ(when("midnight"), "2026-03-18T00:00:00");
  EXPECT_EQ(when("noon"), "2026-03-18T12:00:00");
  EXPECT_EQ(when("elevenses"), "2026-03-18T11:00:00");
  EXPECT_EQ(when("fika"), "2026-03-17T15:00:00");
  EXPECT_EQ(when("teatime"), "2026-03-17T16:00:00");
}

TEST_F(ParseWhen, dates) {
  EXPECT_EQ(when("today"), "2026-03-17T00:00:00");
  EXPECT_EQ(when("tomorrow"), "2026-03-18T00:00:00");
  EXPECT_EQ(when("0401"), "2026-04-01T00:00:00");
  EXPECT_EQ(when("0301"), "2027-03-01T00:00:00");
  EXPECT_EQ(when("0301", When::kPast), "2026-03-01T00:00:00");
  EXPECT_EQ(when("0401", When::kPast), "2025-04-01T00:00:00");
  EXPECT_EQ(when("040127"), "2027-04-01T00:00:00");
  EXPECT_EQ(when("4/1"), "2026-04-01T00:00:00");
  EXPECT_EQ(when("04/01/27"), "2027-04-01T00:00:00");
  EXPECT_EQ(when("04.01"), "2026-04-01T00:00:00");
  EXPECT_EQ(when("04.01.27"), "2027-04-01T00:00:00");
  EXPECT_EQ(when("2026-12-24"), "2026-12-24T00:00:00");
}

TEST_F(ParseWhen, both) {
  EXPECT_EQ(when("2026-12-24T18:30:05"), "2026-12-24T18:30:05");
  EXPECT_EQ(when("2026-12-24T18:30"), "2026-12-24T18:30:00");
  EXPECT_EQ(when("2026-12-24t18:30"), "2026-12-24T18:30:00");
  EXPECT_EQ(when("2026-12-24 18:30"), "2026-12-24T18:30:00");
  EXPECT_EQ(when("12/24-18:30"), "2026-12-24T18:30:00");
  EXPECT_EQ(when("1224-18:30"), "2026-12-24T18:30:00");
  EXPECT_EQ(when("12/24/27-6:30pm"), "2027-12-24T18:30:00");
  EXPECT_EQ(when("tomorrow 8:00"), "2026-03-18T08:00:00");
  EXPECT_EQ(when("noon tomorrow"), "2026-03-18T12:00:00");
  EXPECT_EQ(when("tomorrow teatime"), "2026-03-18T16:00:00");
  EXPECT_EQ(when("18:30 tomorrow"), "2026-03-18T18:30:00");
}

TEST_F(ParseWhen, epoch_seconds) {
  EXPECT_EQ(when("uts1773757820"), "2026-03-17T14:30:20");
  EXPECT_EQ(when("1773757820"), "2026-03-17T14:30:20");
}

TEST_F(ParseWhen, follows_the_time_zone_and_its_clock_changes) {
  use("CET-1CEST,M3.5.0,M10.5.0/3");
  EXPECT_EQ(when("now"), "2026-03-17T15:30:20");
  EXPECT_EQ(*parse_when("2026-07-01T12:00", kNow), Time::from_seconds(1782900000));
  // The day before the change has 24 hours, the next 23; noon stays noon.
  const Time eve = *parse_when("2026-03-28T20:00", kNow);
  EXPECT_EQ(when("tomorrow noon", When::kFuture, eve), "2026-03-29T12:00:00");
  EXPECT_EQ(*parse_when("noon", eve) - eve, 15 * 3600);
}

TEST_F(ParseWhen, leap_days) {
  EXPECT_EQ(when("2028-02-29"), "2028-02-29T00:00:00");
  EXPECT_EQ(when("2026-02-29"), "bad_time");
  EXPECT_EQ(when("0229"), "bad_time");  // 2027 has none
  EXPECT_EQ(when("0229", When::kFuture, *parse_when("2028-01-05", kNow)), "2028-02-29T00:00:00");
  EXPECT_EQ(when("0231"), "bad_time");
  EXPECT_EQ(when("tomorrow", When::kFuture, *parse_when("2026-12-31T10:00", kNow)), "2027-01-01T00:00:00");
}

TEST_F(ParseWhen, refuses) {
  for (const char* bad : {"",
                          " ",
                          "soon",
                          "now+",
                          "now+x",
                          "now+1fortnight",
                          "now 5",
                          "now+1hour2",
                          "25:00",
                          "12:60",
                          "12:00:60",
                          "1:2",
                          "13:00pm",
                          "12:00:",
                          "12:00xm",
                          "1301",
                          "0132",
                          "123",
                          "12345",
                          "1234567",
                          "13/01",
                          "1/32",
                          "1/1/2026",
                          "1/1.26",
                          "2026-13-01",
                          "2026-00-10",
                          "2026-1",
                          "2026-01-01T",
                          "2026-01-01TT1:00",
                          "1969-01-01",
                          "T12:00",
                          "noon noon",
                          "today today",
                          "12:00 13:00",
                          "tomorrownoon",
                          "uts",
                          "uts-5",
                          "utsx",
                          "99999999999999999999",
                          "now+999999999999weeks",
                          "now-99999999999",
                          "today+1",
                          "now\n\x1b"}) {
    const Result<Time> r = parse_when(bad, kNow);
    ASSERT_FALSE(r.ok()) << bad << " gave " << format_timestamp(*r);
    EXPECT_EQ(r.error().code, "bad_time") << bad;
    EXPECT_FALSE(r.error().remedy.empty()) << bad;
  }
}

TEST_F(Timestamp, is_local_iso) {
  EXPECT_EQ(format_timestamp(kNow), "2026-03-17T14:30:20");
  EXPECT_EQ(format_timestamp(Time{kNow.us + 999'999}), "2026-03-17T14:30:20");
  use("EST5EDT");
  EXPECT_EQ(format_timestamp(kNow), "2026-03-17T10:30:20");
}

}  // namespace
}  // namespace bai
