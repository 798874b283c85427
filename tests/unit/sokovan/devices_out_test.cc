// Devices that are out are given to nobody, now and in plans; they are still what the node has.
#include <gtest/gtest.h>

#include "cluster.h"

namespace bai::sokovan {
namespace {

using Ids = std::vector<JobId>;

struct Gpus : Toy {
  explicit Gpus(std::uint32_t count) {
    node("n1", 8);
    DeviceGroup group;
    group.kind = "gpu";
    group.count = count;
    nodes["n1"].devices = {group};
    scheduler.apply(nodes["n1"]);
    partition("p");
  }
  void out(std::vector<std::uint16_t> which) {
    nodes["n1"].devices[0].out = std::move(which);
    scheduler.apply(nodes["n1"]);
  }
  JobId wants(DeviceAmount amount) {
    auto one = spec();
    auto extras = one->request.extras();
    extras.devices.push_back({"gpu", "", amount, DevicePer::kNode});
    one->request.set_extras(std::move(extras));
    return submit(std::move(one));
  }
  std::uint32_t index(JobId id) { return jobs.at(id)->allocation->nodes.at(0).devices.at(0).index; }
};

TEST(SokovanDevicesOut, AreGivenToNobodyAndComeBack) {
  Gpus toy(2);
  toy.out({0});
  const JobId one = toy.wants(1000), half = toy.wants(500);
  EXPECT_EQ(toy.run(), Ids{one});
  EXPECT_EQ(toy.index(one), 1u);
  toy.out({});
  EXPECT_EQ(toy.run(), Ids{half});
  EXPECT_EQ(toy.index(half), 0u);
}

TEST(SokovanDevicesOut, AJobThatHasOneKeepsIt) {
  Gpus toy(2);
  const JobId one = toy.wants(1000);
  EXPECT_EQ(toy.run(), Ids{one});
  toy.out({static_cast<std::uint16_t>(toy.index(one))});
  const JobId next = toy.wants(1000), last = toy.wants(1000);
  EXPECT_EQ(toy.run(), Ids{next});
  toy.end(one);
  EXPECT_EQ(toy.run(), Ids{}) << "what comes free is out";
  EXPECT_EQ(toy.reasons.at(last), Reason::kResources);
  toy.out({});
  EXPECT_EQ(toy.run(), Ids{last});
}

TEST(SokovanDevicesOut, AreStillWhatTheNodeHas) {
  Gpus toy(2);
  toy.out({0, 1});
  auto job = toy.pending(Toy::spec());
  EXPECT_TRUE(toy.scheduler.feasible(job).ok());
  const JobId both = toy.wants(2000);
  EXPECT_TRUE(toy.scheduler.feasible(*toy.jobs.at(both)).ok()) << "refused would be for ever";
  EXPECT_EQ(toy.run(), Ids{});
  toy.out({});
  EXPECT_EQ(toy.run(), Ids{both});
}

TEST(SokovanDevicesOut, ExclusiveNodesAreTakenWithout) {
  Gpus toy(2);
  toy.out({0});
  auto whole = Toy::spec();
  whole->request.exclusive = true;
  const JobId job = toy.submit(whole), next = toy.wants(1000);
  EXPECT_EQ(toy.run(), Ids{job});
  toy.end(job);
  EXPECT_EQ(toy.run(), Ids{next});
  EXPECT_EQ(toy.index(next), 1u);
}

}  // namespace
}  // namespace bai::sokovan
