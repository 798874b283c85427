#include "sim/plot.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "base/text.h"

namespace bai::sim {
namespace {

constexpr double kWidth = 960, kLeft = 64, kRight = 24, kPanel = 150, kGap = 62, kTop = 74;
constexpr double kPlotWidth = kWidth - kLeft - kRight;
constexpr std::size_t kColumns = 436;  // two pixels each
// Told apart by every kind of sight. Okabe and Ito, "Color Universal Design", 2008.
constexpr std::array<const char*, 4> kColours = {"#0072b2", "#d55e00", "#009e73", "#cc79a7"};

std::string escaped(std::string_view text) {
  std::string out;
  for (char c : escape_control(text)) {
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else
      out += c;
  }
  return out;
}

// 1, 2 or 5 times a power of ten: the smallest such step of which at most `most` are needed.
double nice_step(double range, int most) {
  if (!(range > 0)) return 1;
  const double power = std::pow(10, std::floor(std::log10(range / most)));
  for (double factor : {1.0, 2.0, 5.0})
    if (range / (factor * power) <= most) return factor * power;
  return 10 * power;
}

std::string number(double value) {
  return value >= 10000 ? fmt::format("{:g}k", value / 1000) : fmt::format("{:g}", value);
}

// What of a history falls into each column of the picture.
struct Column {
  double busy = 0;     // CPUs, on average
  double waiting = 0;  // jobs, at most
};
std::vector<Column> columns_of(const Played& played, Seconds begin, Seconds end) {
  std::vector<Column> out(kColumns);
  const double width = std::max(1.0, static_cast<double>(end - begin)) / kColumns;
  for (std::size_t i = 0; i < played.history.size(); ++i) {
    const auto& moment = played.history[i];
    const double from = static_cast<double>(moment.at - begin);
    const double to =
        static_cast<double>((i + 1 < played.history.size() ? played.history[i + 1].at : played.end) - begin);
    if (to <= from) continue;
    for (auto c = static_cast<std::size_t>(std::max(0.0, from / width));
         c < kColumns && static_cast<double>(c) * width < to; ++c) {
      const double x = static_cast<double>(c) * width;
      const double part = (std::min(to, x + width) - std::max(from, x)) / width;
      out[c].busy += std::max(0.0, part) * static_cast<double>(moment.cpus_busy);
      out[c].waiting = std::max(out[c].waiting, static_cast<double>(moment.waiting));
    }
  }
  return out;
}

class Picture {
 public:
  Picture(const std::string& title, const std::vector<Curve>& curves) : height_(kTop + 3 * (kPanel + kGap)) {
    put("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\" "
        "font-family=\"DejaVu Sans, Helvetica, Arial, sans-serif\" font-size=\"12\" fill=\"#333\">\n"
        "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n",
        kWidth, height_);
    put("<text x=\"{}\" y=\"26\" font-size=\"16\" font-weight=\"bold\">{}</text>\n", kLeft, escaped(title));
    double x = kLeft;
    for (std::size_t i = 0; i < curves.size(); ++i) {
      const auto name = truncate(curves[i].name, 40);
      put("<rect x=\"{}\" y=\"38\" width=\"14\" height=\"10\" fill=\"{}\"/><text x=\"{}\" "
          "y=\"48\">{}</text>\n",
          x, colour(i), x + 20, escaped(name));
      x += 44 + 7.5 * static_cast<double>(display_width(name));
    }
  }
  static const char* colour(std::size_t i) { return kColours[i % kColours.size()]; }

  // Begins a panel whose values go up to `top`, with a line at each step.
  void panel(const std::string& title, double top, double step, const std::string& unit) {
    top_ = top;
    base_ = kTop + static_cast<double>(panels_++) * (kPanel + kGap) + kPanel;
    put("<text x=\"{}\" y=\"{:.1f}\" font-weight=\"bold\">{}</text>\n", kLeft, base_ - kPanel - 8,
        escaped(title));
    for (double value = 0; value <= top * 1.0001; value += step) {
      put("<line x1=\"{}\" x2=\"{}\" y1=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"{}\"/>", kLeft, kWidth - kRight,
          y(value), y(value), value == 0 ? "#666" : "#ddd");
      put("<text x=\"{}\" y=\"{:.1f}\" text-anchor=\"end\" font-size=\"11\">{}{}</text>\n", kLeft - 6,
          y(value) + 4, number(value), unit);
    }
  }
  void tick(double x, const std::string& text) {
    put("<line x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1:.1f}\" y2=\"{2:.1f}\" stroke=\"#666\"/>", x, base_,
        base_ + 5);
    put("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\" font-size=\"11\">{}</text>\n", x, base_ + 18,
        escaped(text));
  }
  // Steps from point to point; `filled` down to the base line.
  void steps(const std::vector<std::pair<double, double>>& points, std::size_t curve, bool filled) {
    if (points.empty()) return;
    std::string path = fmt::format("M{:.1f} {:.1f}", points[0].first, y(points[0].second));
    for (std::size_t i = 1; i < points.size(); ++i) {
      if (points[i].second == points[i - 1].second && i + 1 < points.size()) continue;
      path += fmt::format("H{:.1f}V{:.1f}", points[i].first, y(points[i].second));
    }
    if (filled)
      put("<path d=\"{}V{:.1f}H{:.1f}Z\" fill=\"{}\" fill-opacity=\"0.25\"/>\n", path, base_, points[0].first,
          colour(curve));
    put("<path d=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.4\"/>\n", path, colour(curve));
  }
  std::string finish() { return std::move(out_) + "</svg>\n"; }

 private:
  double y(double value) const { return base_ - kPanel * std::clamp(value / top_, 0.0, 1.0); }
  template <class... Args>
  void put(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(out_), format, std::forward<Args>(args)...);
  }

  std::string out_;
  double height_, top_ = 1, base_ = 0;
  int panels_ = 0;
};

// Times of day where the trace is short, days where it is long.
void time_axis(Picture& picture, std::int64_t unix_start, Seconds begin, Seconds end) {
  static constexpr Seconds kSteps[] = {1,         10,        60,         300,       900,
                                       3600,      3 * 3600,  6 * 3600,   12 * 3600, 86400,
                                       2 * 86400, 7 * 86400, 14 * 86400, 28 * 86400};
  const Seconds range = std::max<Seconds>(end - begin, 1);
  Seconds step = kSteps[0];
  for (Seconds s : kSteps)
    if (range / step > 10) step = s;
  while (range / step > 10) step *= 2;
  const bool dates = unix_start > 0 && unix_start < 253'000'000'000 - end;
  const Seconds first = dates ? (unix_start + begin + step - 1) / step * step - unix_start : begin;
  for (Seconds at = first; at <= end; at += step) {
    const double x = kLeft + kPlotWidth * static_cast<double>(at - begin) / static_cast<double>(range);
    std::string text;
    if (const auto when = static_cast<std::time_t>(unix_start + at); dates)
      text = step < 86400 ? fmt::format("{:%m-%d %H:%M}", fmt::gmtime(when))
                          : fmt::format("{:%Y-%m-%d}", fmt::gmtime(when));
    else if (step >= 86400)
      text = fmt::format("day {}", (at - begin) / 86400);
    else
      text =
          fmt::format("{:d}:{:02d}:{:02d}", (at - begin) / 3600, (at - begin) / 60 % 60, (at - begin) % 60);
    picture.tick(x, text);
  }
}

void utilisation(Picture& picture, const std::vector<Curve>& curves,
                 const std::vector<std::vector<Column>>& columns) {
  picture.panel("CPUs in use", 100, 25, "%");
  for (std::size_t i = 0; i < curves.size(); ++i) {
    std::vector<std::pair<double, double>> points;
    for (std::size_t c = 0; c <= kColumns; ++c) {
      const auto& column = columns[i][std::min(c, kColumns - 1)];
      points.emplace_back(
          kLeft + kPlotWidth * static_cast<double>(c) / kColumns,
          100 * column.busy / static_cast<double>(std::max<std::uint64_t>(curves[i].cpus, 1)));
    }
    picture.steps(points, i, curves.size() == 1);
  }
}

void queue_length(Picture& picture, const std::vector<Curve>& curves,
                  const std::vector<std::vector<Column>>& columns) {
  double most = 1;
  for (const auto& of_curve : columns)
    for (const auto& column : of_curve) most = std::max(most, column.waiting);
  const double step = std::max(1.0, nice_step(most, 4));
  picture.panel("Jobs waiting", step * std::ceil(most / step), step, "");
  for (std::size_t i = 0; i < curves.size(); ++i) {
    std::vector<std::pair<double, double>> points;
    for (std::size_t c = 0; c <= kColumns; ++c)
      points.emplace_back(kLeft + kPlotWidth * static_cast<double>(c) / kColumns,
                          columns[i][std::min(c, kColumns - 1)].waiting);
    picture.steps(points, i, curves.size() == 1);
  }
}

void waits(Picture& picture, const std::vector<Curve>& curves) {
  picture.panel("Jobs that waited at most so long", 100, 25, "%");
  static constexpr std::pair<Seconds, const char*> kTicks[] = {{1, "1 s"},
                                                               {10, "10 s"},
                                                               {60, "1 min"},
                                                               {600, "10 min"},
                                                               {3600, "1 h"},
                                                               {4 * 3600, "4 h"},
                                                               {86400, "1 d"},
                                                               {4 * 86400, "4 d"},
                                                               {14 * 86400, "2 weeks"},
                                                               {60 * 86400, "60 d"},
                                                               {365 * 86400, "1 year"},
                                                               {3650LL * 86400, "10 years"}};
  Seconds longest = 10;
  for (const auto& curve : curves)
    for (Seconds wait : curve.played->wait) longest = std::max(longest, wait);
  const double range = std::log10(static_cast<double>(longest)) + 0.02;
  auto x = [&](Seconds wait) {
    return kLeft + kPlotWidth * std::log10(static_cast<double>(std::max<Seconds>(wait, 1))) / range;
  };
  for (const auto& [at, text] : kTicks)
    if (at <= longest) picture.tick(x(at), text);
  for (std::size_t i = 0; i < curves.size(); ++i) {
    std::vector<Seconds> sorted;
    for (Seconds wait : curves[i].played->wait)
      if (wait != Played::kNever) sorted.push_back(wait);
    std::sort(sorted.begin(), sorted.end());
    std::vector<std::pair<double, double>> points;
    for (std::size_t p = 0; p <= kColumns * 2 && !sorted.empty(); ++p) {
      const auto limit = static_cast<Seconds>(std::pow(10, range * static_cast<double>(p) / (kColumns * 2)));
      const auto count = std::upper_bound(sorted.begin(), sorted.end(), limit) - sorted.begin();
      points.emplace_back(kLeft + kPlotWidth * static_cast<double>(p) / (kColumns * 2),
                          100 * static_cast<double>(count) / static_cast<double>(sorted.size()));
    }
    picture.steps(points, i, curves.size() == 1);
  }
}

}  // namespace

std::string plot(const std::string& title, std::int64_t unix_start, const std::vector<Curve>& curves) {
  Picture picture(title, curves);
  Seconds begin = INT64_MAX, end = 0;
  for (const auto& curve : curves)
    begin = std::min(begin, curve.played->begin), end = std::max(end, curve.played->end);
  if (curves.empty()) begin = 0;
  std::vector<std::vector<Column>> columns;
  for (const auto& curve : curves) columns.push_back(columns_of(*curve.played, begin, end));
  utilisation(picture, curves, columns);
  time_axis(picture, unix_start, begin, end);
  queue_length(picture, curves, columns);
  time_axis(picture, unix_start, begin, end);
  waits(picture, curves);
  return picture.finish();
}

}  // namespace bai::sim
