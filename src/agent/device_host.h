// One device plugin as the agent sees it: what its host process said of devices, and what is to be done with the process. All rules of that as a function from
// news to actions: no processes, no clock; device_hosts.h carries them out. One thread.
//
// A host that dies, hangs or says what is not understood is ended and started again, ever rarer; until it has looked again the health of its devices is not
// known. Devices keep their place: one that is gone stays, unhealthy, and one that comes later goes behind the others.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "device/protocol.h"

namespace bai::agent {

// A device with what was said of it last.
struct KnownDevice {
  device::Found found;
  device::State state;
};

class DeviceHost {
 public:
  static constexpr std::int64_t kBeginMs =
      60'000;  // to load and to look for devices: drivers may have to start GPUs
  static constexpr std::int64_t kAnswerMs = 10'000;  // to look at all of them
  static constexpr std::int64_t kFirstPauseMs = 1'000, kLongestPauseMs = 60'000;

  // `must`: the site named it, so that what is absent now may come.
  DeviceHost(std::string name, bool must, std::int64_t interval_ms)
      : name_(std::move(name)), must_(must), interval_ms_(interval_ms) {}

  enum class Action { kNone, kSpawn, kBegin, kLook, kKill };
  // What is due. kSpawn is answered by spawned() or ended(); kBegin and kLook are sent; kKill is answered by ended().
  Action on_time(std::int64_t now_ms);
  std::int64_t next_ms() const { return due_ms_; }  // when on_time() has something to do, at the latest

  void spawned(std::int64_t now_ms);
  void heard(const Result<device::FromHost>& message, std::int64_t now_ms);
  // The process is gone, or could not be started; `why`: "was ended by signal 11".
  void ended(const std::string& why, std::int64_t now_ms);

  const std::string& name() const { return name_; }
  bool must() const { return must_; }
  const std::vector<KnownDevice>& devices() const { return devices_; }
  // That it looks for, as far as it said so.
  const std::vector<std::string>& kinds() const { return kinds_; }
  // Whether the first look for devices has come to an end, whichever.
  bool settled() const { return settled_; }
  // Why devices are not known; empty when they are.
  const std::string& trouble() const { return trouble_; }

 private:
  enum class Phase { kDown, kSpawning, kBegin, kBeginning, kIdle, kLooking, kCondemned, kAbsent };
  void fail(const std::string& why, std::int64_t now_ms);
  void take_found();
  void done(std::int64_t now_ms);
  KnownDevice* find(const std::string& id);

  std::string name_;
  bool must_;
  std::int64_t interval_ms_;
  Phase phase_ = Phase::kDown;
  std::int64_t due_ms_ = 0;
  std::int64_t pause_ms_ = kFirstPauseMs;
  std::vector<KnownDevice> devices_;
  std::vector<std::string> kinds_;
  std::vector<device::Found> found_;  // in the answer under way
  std::vector<std::string> seen_;     // ids, likewise
  std::string trouble_;
  bool settled_ = false;
};

}  // namespace bai::agent
