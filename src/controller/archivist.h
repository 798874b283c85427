// Archivist: the thread that reads history from the store, so that a long question keeps nobody else waiting.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <variant>

#include "controller/channel.h"
#include "controller/queries.h"
#include "controller/view.h"
#include "store/store.h"

namespace bai::controller {

class Archivist {
 public:
  struct Question {  // HistoryRequest, AccountingRequest, StepsRequest or ScriptRequest
    Caller caller;
    wire::Request request;
    ViewPtr view;
    Time now;
    SendReply reply;
  };

  explicit Archivist(std::unique_ptr<store::Reader> reader);
  ~Archivist();

  // Any thread; answers come on the archivist's.
  void ask(Question question);
  // What was answered to this request, if it was. An error says that nobody knows: the request must not be done again.
  using Found = std::function<void(Result<std::optional<store::RequestAnswer>>)>;
  void look_up(RequestId id, Found found);
  void stop();

 private:
  struct LookUp {
    RequestId id;
    Found found;
  };
  void run();
  void history(const Question& question, const wire::HistoryRequest& request);
  void steps(const Question& question, const wire::StepsRequest& request);
  void script(const Question& question, const wire::ScriptRequest& request);
  void accounting(const Question& question, const wire::AccountingRequest& request);

  std::unique_ptr<store::Reader> reader_;
  Channel<std::variant<Question, LookUp>> channel_;
  std::thread thread_;
};

}  // namespace bai::controller
