#include "agent/device_host.h"

#include <algorithm>

#include "base/log.h"
#include "device/device_plugin.h"

namespace bai::agent {

namespace {

constexpr std::int64_t kNever = INT64_MAX;

bool contains(const std::vector<std::string>& list, const std::string& word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

}  // namespace

DeviceHost::Action DeviceHost::on_time(std::int64_t now_ms) {
  if (now_ms < due_ms_) return Action::kNone;
  switch (phase_) {
    case Phase::kDown:
      phase_ = Phase::kSpawning;
      due_ms_ = kNever;
      return Action::kSpawn;
    case Phase::kBegin:
      phase_ = Phase::kBeginning;
      due_ms_ = now_ms + kBeginMs;
      seen_.clear();
      found_.clear();
      return Action::kBegin;
    case Phase::kIdle:
      phase_ = Phase::kLooking;
      due_ms_ = now_ms + kAnswerMs;
      seen_.clear();
      return Action::kLook;
    case Phase::kBeginning:
    case Phase::kLooking:
      fail("does not answer", now_ms);
      [[fallthrough]];
    case Phase::kCondemned:
    case Phase::kAbsent:
      due_ms_ = kNever;
      return Action::kKill;
    case Phase::kSpawning:
      due_ms_ = kNever;
  }
  return Action::kNone;
}

void DeviceHost::spawned(std::int64_t now_ms) {
  phase_ = Phase::kBegin;
  due_ms_ = now_ms;
}

KnownDevice* DeviceHost::find(const std::string& id) {
  auto it = std::find_if(devices_.begin(), devices_.end(),
                         [&](const KnownDevice& device) { return device.found.id == id; });
  return it == devices_.end() ? nullptr : &*it;
}

void DeviceHost::heard(const Result<device::FromHost>& message, std::int64_t now_ms) {
  if (phase_ != Phase::kBeginning && phase_ != Phase::kLooking)
    return;  // it is ended anyway, or nobody asked
  if (!message.ok()) return fail("says what is not understood: " + message.error().message, now_ms);
  if (const auto* found = std::get_if<device::Found>(&*message)) {
    if (phase_ != Phase::kBeginning || contains(seen_, found->id) || seen_.size() >= BAI_DEVICE_MOST)
      return fail("found a device twice, or too many, or unasked", now_ms);
    seen_.push_back(found->id);
    found_.push_back(*found);
  } else if (const auto* state = std::get_if<device::State>(&*message)) {
    KnownDevice* known = find(state->id);
    if (phase_ != Phase::kLooking || !known || contains(seen_, state->id))
      return fail("tells of a device that is not there, or unasked", now_ms);
    seen_.push_back(state->id);
    known->state = *state;
  } else if (const auto* failed = std::get_if<device::Failed>(&*message)) {
    if (!failed->kinds.empty()) kinds_ = failed->kinds;
    if (!failed->absent || must_)
      return fail(failed->why.empty() ? "has nothing to look at" : "says: " + failed->why, now_ms);
    log::info("there is nothing for a device plugin", {{"plugin", name_}, {"why", failed->why}});
    phase_ = Phase::kAbsent;
    settled_ = true;
    due_ms_ = now_ms;
  } else {
    if (phase_ == Phase::kBeginning) {
      kinds_ = std::get<device::Done>(*message).kinds;
      take_found();
    }
    done(now_ms);
  }
}

void DeviceHost::take_found() {
  for (auto& found : found_) {
    if (KnownDevice* known = find(found.id)) {
      known->found = std::move(found);
      continue;
    }
    if (devices_.size() >= BAI_DEVICE_MOST) return;
    // Healthy until it was looked at would be a guess.
    device::State state;
    state.id = found.id;
    state.health = DeviceHealth::kUnknown;
    state.why = "it was not looked at yet";
    devices_.push_back({std::move(found), std::move(state)});
  }
}

void DeviceHost::done(std::int64_t now_ms) {
  const bool looked = phase_ == Phase::kLooking;
  for (auto& device : devices_)
    if (!contains(seen_, device.found.id)) {
      device.state = {};
      device.state.id = device.found.id;
      device.state.health = DeviceHealth::kUnhealthy;
      device.state.why = "the device is gone";
    }
  phase_ = Phase::kIdle;
  due_ms_ = now_ms;  // a look follows at once
  if (!looked) return;
  due_ms_ = now_ms + interval_ms_;
  pause_ms_ = kFirstPauseMs;
  if (!trouble_.empty()) log::info("a device plugin works again", {{"plugin", name_}});
  trouble_.clear();
  settled_ = true;
}

void DeviceHost::fail(const std::string& why, std::int64_t now_ms) {
  const std::string said = "the device plugin " + name_ + " " + why;
  if (said != trouble_)
    log::error("the devices of a plugin are not known", {{"plugin", name_}, {"why", why}});
  trouble_ = said;
  settled_ = true;
  for (auto& device : devices_) {
    device.state = {};
    device.state.id = device.found.id;
    device.state.health = DeviceHealth::kUnknown;
    device.state.why = said;
  }
  phase_ = Phase::kCondemned;
  due_ms_ = now_ms;
}

void DeviceHost::ended(const std::string& why, std::int64_t now_ms) {
  if (phase_ == Phase::kAbsent) return;
  if (phase_ != Phase::kCondemned) fail(why, now_ms);  // else its fault was said
  phase_ = Phase::kDown;
  due_ms_ = now_ms + pause_ms_;
  pause_ms_ = std::min(2 * pause_ms_, kLongestPauseMs);
}

}  // namespace bai::agent
