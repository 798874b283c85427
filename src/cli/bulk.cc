#include <poll.h>
#include <unistd.h>

#include <deque>
#include <nlohmann/json.hpp>
#include <thread>
#include <unordered_map>

#include "base/fd.h"
#include "base/suggest.h"
#include "base/text.h"
#include "cli/output.h"
#include "cli/submit.h"

namespace bai::cli {
namespace {

using Json = nlohmann::json;
using Clock = wire::Client::Clock;

constexpr std::size_t kBatchJobs = 500;
constexpr std::size_t kBatchBytes = 4 << 20;
constexpr std::size_t kInFlight = 4;
constexpr std::size_t kMaxLine = 32 << 20;
constexpr std::chrono::milliseconds kBusyPause{100};

// Lines of a descriptor; says whether the next one is there without waiting.
class Lines {
 public:
  explicit Lines(int fd) : fd_(fd) {}

  // The next line without its newline; false at the end. Error: the read failed, or a line is too long.
  Result<bool> next(std::string_view& line) {
    for (;;) {
      const auto end = buffer_.find('\n', scanned_);
      if (end != std::string::npos) return take(line, end, end + 1);
      scanned_ = buffer_.size();
      if (ended_)
        return begin_ < buffer_.size() ? take(line, buffer_.size(), buffer_.size()) : Result<bool>(false);
      if (buffer_.size() - begin_ > kMaxLine)
        return Error{"bad_line", "a line is longer than 32 MiB", "", "split it"};
      if (Status status = read_more(); !status.ok()) return status.error();
    }
  }
  // Whether next() might wait for more input.
  bool would_wait() const {
    if (ended_ || buffer_.find('\n', scanned_) != std::string::npos) return false;
    pollfd p{fd_, POLLIN, 0};
    return poll(&p, 1, 0) == 0;
  }

 private:
  bool take(std::string_view& line, std::size_t end, std::size_t next) {
    line = std::string_view(buffer_).substr(begin_, end - begin_);
    begin_ = scanned_ = next;
    return true;
  }
  Status read_more() {
    buffer_.erase(0, begin_);
    begin_ = 0;
    scanned_ = buffer_.size();
    const std::size_t old = buffer_.size();
    constexpr std::size_t kPiece = 256 << 10;
    buffer_.resize(old + kPiece);
    ssize_t n;
    do n = read(fd_, buffer_.data() + old, kPiece);
    while (n < 0 && errno == EINTR);
    buffer_.resize(old + (n > 0 ? static_cast<std::size_t>(n) : 0));
    if (n < 0) return errno_error("cannot read", "--bulk", errno);
    ended_ = n == 0;
    return {};
  }

  int fd_;
  std::string buffer_;
  std::size_t begin_ = 0, scanned_ = 0;
  bool ended_ = false;
};

// What one line came to: refused here, or the nth job of its batch.
struct LineOutcome {
  std::uint64_t line = 0;
  std::optional<Error> error;
};

struct Sent {
  std::vector<LineOutcome> lines;
  wire::Request request;
  bool has_jobs = false;
  std::optional<Clock::time_point>
      busy_until;  // the controller had no room for it, and is asked again so long
  std::optional<Result<wire::SubmitReply>> reply;
};

class Bulk {
 public:
  Bulk(const Parsed& given, std::vector<Given> from_environment, const OptionTable& table,
       const OptionParser& parser, const Submitter& submitter, Session& session, const Reporter& reporter)
      : table_(table), parser_(parser), submitter_(submitter), session_(session), reporter_(reporter) {
    weak_ = std::move(from_environment);
    for (auto& one : weak_) one.source = Source::directive;
    for (const Given& one : given.given) {
      const std::string_view name = one.option->name;
      if (name == "bulk" || name == "json" || name == "conf" || name == "request-id") continue;
      strong_.push_back(one);
      strong_.back().source = Source::environment;
    }
    if (const Given* id = given.find("request-id")) {
      base_id_ = *Uuid::parse(id->value);
      settle_ = true;
    }
    for (const Option& option : table.options) {
      if (!option.directive && std::string_view(option.name) != "wrap") continue;
      std::string key = option.name;
      for (char& c : key)
        if (c == '-') c = '_';
      if (key == "job_name") keys_.emplace("name", &option);
      keys_.emplace(std::move(key), &option);
    }
  }

  int run(int fd) {
    if (auto status = session_.connect(); !status.ok()) return reporter_.refused(status.error());
    auto cluster = session_.cluster();
    if (!cluster.ok()) return reporter_.refused(cluster.error());
    cluster_ = *cluster;
    Lines lines(fd);
    for (std::uint64_t number = 1;; ++number) {
      if (!settle_ && lines.would_wait()) {
        send_batch();
        while (!sent_.empty()) finish_first();
        out_.flush();
      }
      std::string_view line;
      auto more = lines.next(line);
      if (!more.ok()) {
        send_batch();
        while (!sent_.empty()) finish_first();
        out_.flush();
        return reporter_.refused(more.error());
      }
      if (!*more) break;
      if (trim(line).empty()) continue;
      if (outcomes_.empty()) first_line_ = number;
      const Status added = add_line(line);
      outcomes_.push_back({number, added.ok() ? std::nullopt : std::optional<Error>(added.error())});
      if (outcomes_.size() >= kBatchJobs || batch_.bytes() >= kBatchBytes) send_batch();
    }
    send_batch();
    while (!sent_.empty()) finish_first();
    out_.flush();
    return refused_ || out_.failed() ? kRefused : 0;
  }

 private:
  // One JSON value as an option's text; nothing when it means "not given".
  Status add_option(const std::string& key, const Json& value, std::vector<Given>& into) const {
    const auto it = keys_.find(key);
    if (it == keys_.end()) {
      std::vector<std::string_view> known = {"script", "file", "args"};
      for (const auto& entry : keys_) known.push_back(entry.first);
      return Error{"bad_key", quote(key) + " is not an option", "", did_you_mean(key, known)};
    }
    Given given;
    given.option = it->second;
    given.place = key;
    if (value.is_null() || (value.is_boolean() && !value.get<bool>())) return {};
    if (value.is_boolean()) {
      if (given.option->arg == ArgKind::required) return Error{"bad_value", "needs a value", key, ""};
    } else if (given.option->arg == ArgKind::none) {
      return Error{"bad_value", "is true or false", key, ""};
    } else if (value.is_string()) {
      given.value = value.get_ref<const std::string&>();
      given.has_value = true;
    } else if (value.is_number()) {
      given.value = value.dump();
      given.has_value = true;
    } else {
      return Error{"bad_value", "is text, a number, true or false", key, ""};
    }
    into.push_back(std::move(given));
    return {};
  }

  Result<const Script*> script_file(const std::string& path) {
    if (const auto it = files_.find(path); it != files_.end()) return &it->second;
    auto script = read_script_file(path, submitter_.context.cwd, submitter_.search_path,
                                   session_.config().max_script_size);
    if (!script.ok()) return script.error();
    if (Status checked = check_script(*script, session_.config().max_script_size); !checked.ok())
      return checked.error();
    if (files_.size() >= 256) files_.clear();
    return &files_.emplace(path, std::move(*script)).first->second;
  }

  Status add_line(std::string_view line) {
    const Json json = Json::parse(line, nullptr, false);
    if (json.is_discarded()) return Error{"bad_json", "this is not JSON", "", "write one JSON object a line"};
    if (!json.is_object())
      return Error{"bad_json", "this is not a JSON object", "", "write {\"script\": ..., ...}"};
    Parsed parsed;
    std::vector<Given> given;
    std::vector<std::string> args;
    const Json *text = nullptr, *file = nullptr;
    for (auto it = json.begin(); it != json.end(); ++it) {
      if (it.key() == "script" || it.key() == "file") {
        if (!it->is_string()) return Error{"bad_value", "is text", it.key(), ""};
        (it.key() == "file" ? file : text) = &*it;
      } else if (it.key() == "args") {
        if (!it->is_array()) return Error{"bad_value", "is an array of texts", "args", ""};
        for (const Json& arg : *it) {
          if (!arg.is_string() && !arg.is_number())
            return Error{"bad_value", "is an array of texts", "args", ""};
          args.push_back(arg.is_string() ? arg.get<std::string>() : arg.dump());
        }
      } else if (Status status = add_option(it.key(), *it, given); !status.ok()) {
        return status;
      }
    }
    const auto wrap = std::find_if(given.begin(), given.end(),
                                   [](const Given& g) { return std::string_view(g.option->name) == "wrap"; });
    if ((text != nullptr) + (file != nullptr) + (wrap != given.end()) != 1)
      return Error{"no_script", "a line has one of script, file and wrap", "",
                   "add \"script\": \"#!/bin/sh\\n...\""};
    Script own;
    const Script* script = &own;
    if (file) {
      auto read = script_file(file->get_ref<const std::string&>());
      if (!read.ok()) return read.error();
      script = *read;
    } else {
      if (text) {
        own.text = text->get_ref<const std::string&>();
        own.name = "bulk";
        own.place = "script";
      } else {
        own = wrap_script(*submitter_.context.dialect, wrap->value);
      }
      if (Status checked = check_script(own, session_.config().max_script_size); !checked.ok())
        return checked;
    }
    auto directives = read_directives(*script, parser_);
    if (!directives.ok()) return directives.error();
    parsed.given = std::move(*directives);
    parsed.given.insert(parsed.given.end(), weak_.begin(), weak_.end());
    parsed.given.insert(parsed.given.end(), strong_.begin(), strong_.end());
    parsed.add(std::move(given));
    return add_job(submitter_, parsed, *script, std::move(args), batch_, reporter_);
  }

  // The id of the batch that begins at this line: the same in a repeat with --request-id.
  RequestId batch_id() const {
    Hasher hasher;
    hasher
        .update(std::string_view(reinterpret_cast<const char*>(base_id_.bytes.data()), base_id_.bytes.size()))
        .update_u64(first_line_);
    const Hash256 hash = hasher.finish();
    RequestId out;
    std::copy_n(hash.bytes.begin(), out.bytes.size(), out.bytes.begin());
    return out;
  }

  void send_batch() {
    if (outcomes_.empty()) return;
    while (sent_.size() >= kInFlight) finish_first();
    Sent& sent = sent_.emplace_back();
    sent.lines = std::move(outcomes_);
    outcomes_.clear();
    sent.has_jobs = batch_.size() != 0;
    if (!sent.has_jobs) return;
    auto request = batch_.sign(cluster_, session_.config().munge_socket);
    if (!request.ok()) {
      sent.reply = Result<wire::SubmitReply>(request.error());
      batch_ = SubmitBatch();
      return;
    }
    sent.request.id = batch_id();
    sent.request.repeat = settle_;
    sent.request.body = std::move(*request);
    if (!lost_ && !session_.send(sent.request).ok()) lost_ = true;
  }

  // Nothing of it was done, and its time is not over.
  bool busy(Sent& sent, const Error& refusal) const {
    if (refusal.code != "busy") return false;
    if (!sent.busy_until) sent.busy_until = session_.deadline();
    return Clock::now() < *sent.busy_until;
  }
  void send_again(const Sent& sent) {
    std::this_thread::sleep_for(kBusyPause);
    if (!session_.send(sent.request).ok()) lost_ = true;
  }

  // Waits for the first batch's reply and prints its lines.
  void finish_first() {
    Sent& first = sent_.front();
    while (first.has_jobs && !first.reply) {
      if (lost_) {
        first.reply = Session::as<wire::SubmitReply>(session_.settle(first.request));
        continue;
      }
      auto reply = session_.receive();
      if (!reply.ok()) {
        lost_ = true;
        continue;
      }
      for (Sent& sent : sent_) {
        if (!sent.has_jobs || sent.request.id != reply->id) continue;
        if (auto* refusal = std::get_if<wire::ErrorBody>(&reply->body); refusal && busy(sent, refusal->error))
          send_again(sent);
        else if (refusal)
          sent.reply = Result<wire::SubmitReply>(refusal->error);
        else
          sent.reply = Session::as<wire::SubmitReply>(std::move(reply->body));
      }
    }
    print(first);
    sent_.pop_front();
  }

  void print(const Sent& sent) {
    std::size_t index = 0;
    for (const LineOutcome& line : sent.lines) {
      std::optional<Error> error = line.error;
      JobId id = 0;
      if (!error) {
        if (!sent.reply->ok()) {
          error = sent.reply->error();
          if (error->code == "outcome_unknown")
            error->remedy = "to settle it, submit the same lines with --request-id=" + base_id_.hex();
        } else if (const auto& results = (*sent.reply)->results; index >= results.size()) {
          error = Error{"outcome_unknown", "the controller named fewer jobs than were submitted", "",
                        "look at bai-queue"};
        } else if (results[index].error) {
          error = results[index].error->error;
        } else {
          id = results[index].ref.job;
        }
        ++index;
      }
      refused_ |= error.has_value();
      print_line(line.line, error, id);
    }
  }

  void print_line(std::uint64_t line, const std::optional<Error>& error, JobId id) {
    std::string& out = out_.buffer();
    if (reporter_.json()) {
      JsonWriter json(out);
      json.begin_object().field("line", static_cast<std::int64_t>(line));
      if (error) {
        json.key("error").begin_object().field("code", error->code).field("message", error->message);
        if (!error->place.empty()) json.field("place", error->place);
        json.field("remedy", error->remedy).end_object();
      } else {
        json.field("job_id", std::int64_t{id});
      }
      json.end_object();
    } else if (error) {
      std::string text = error->text();
      for (char& c : text)
        if (c == '\n') c = ' ';
      out += "error: " + std::to_string(line) + ": " + text;
    } else {
      out += std::to_string(id);
    }
    out += '\n';
    out_.done_line();
  }

  const OptionTable& table_;
  const OptionParser& parser_;
  const Submitter& submitter_;
  Session& session_;
  const Reporter& reporter_;
  std::map<std::string, const Option*, std::less<>> keys_;
  std::vector<Given> weak_, strong_;
  std::unordered_map<std::string, Script> files_;
  Uuid cluster_;
  RequestId base_id_ = RequestId::ordered();
  bool settle_ = false;  // --request-id: batches may have been taken before
  bool lost_ = false;    // the connection: go on one request after another
  bool refused_ = false;
  SubmitBatch batch_;
  std::vector<LineOutcome> outcomes_;  // of the batch being gathered
  std::uint64_t first_line_ = 0;
  std::deque<Sent> sent_;
  Output out_;
};

}  // namespace

int run_bulk(const std::string& path, const Parsed& given, std::vector<Given> from_environment,
             const OptionTable& table, const OptionParser& parser, const Submitter& submitter,
             Session& session, const Reporter& reporter) {
  Fd file;
  if (path != "-") {
    auto opened = open_fd(path, 0);
    if (!opened.ok()) return reporter.mistyped(opened.error());
    file = std::move(*opened);
  }
  return Bulk(given, std::move(from_environment), table, parser, submitter, session, reporter)
      .run(file ? file.get() : 0);
}

}  // namespace bai::cli
