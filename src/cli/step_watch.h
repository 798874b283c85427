// What the controller tells of a step while its streams run past it: its end, messages of nodes, the job's end. Holds on to the session: when
// it is lost, it is made anew. One thread.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/fd.h"
#include "cli/allocation.h"
#include "cli/report.h"
#include "cli/session.h"
#include "cli/step_client.h"

namespace bai::cli {

class StepWatch {
 public:
  // `rejoin` asks for the step's news again on a new connection. All must outlive this.
  StepWatch(Session& session, StepClient& client, const Reporter& reporter, RequestId step,
            std::function<Status()> rejoin);
  // The client calls back from run().
  Status start();
  // How it ended, when the controller said so.
  const std::optional<Step>& end() const { return end_; }

 private:
  void on_events();
  void on_reply(const wire::Reply& reply);
  void lost();
  void arm(int ms);

  Session& session_;
  StepClient& client_;
  const Reporter& reporter_;
  RequestId step_;
  std::function<Status()> rejoin_;
  Fd epoll_, timer_;
  int watched_ = -1;
  bool joined_ = true;
  std::optional<Step> end_;
  int graces_ = 0;  // that streams were given after it
};

}  // namespace bai::cli
