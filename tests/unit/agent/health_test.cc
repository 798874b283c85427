#include "agent/health.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>

#include "base/log.h"

namespace bai::agent {
namespace {

class Health : public ::testing::Test {
 protected:
  Health() {
    char name[] = "/tmp/healthXXXXXX";
    dir_ = mkdtemp(name);
    EXPECT_EQ(pipe(stop_), 0);
  }
  ~Health() override {
    close(stop_[0]), close(stop_[1]);
    for (const char* file : {"program", "ran", "began"}) unlink((dir_ + "/" + file).c_str());
    rmdir(dir_.c_str());
  }
  // The program appends a line to "ran" when it ends.
  ClusterConfig site(const std::string& script, Seconds interval = 10) {
    ClusterConfig config;
    config.health_check_program = dir_ + "/program";
    config.health_check_interval = interval;
    std::ofstream(config.health_check_program) << "#!/bin/sh\ncd " << dir_ << "\n"
                                               << script << "\necho $BAI_NODE_NAME >> ran\n";
    chmod(config.health_check_program.c_str(), 0700);
    return config;
  }
  static Time at(std::int64_t second) { return Time::from_seconds(1'000'000 + second); }
  std::string read(const char* file) {
    std::ostringstream out;
    out << std::ifstream(dir_ + "/" + file).rdbuf();
    return out.str();
  }
  // As the agent's ticks do.
  static void end(HealthCheck& check, std::int64_t second) {
    for (int i = 0; i < 10'000 && check.running(); ++i) {
      check.on_time(at(second), 0, false, false);
      poll(nullptr, 0, 1);
    }
    EXPECT_FALSE(check.running());
  }
  std::string dir_;
  int stop_[2];
};

TEST_F(Health, runs_to_its_end_before_the_agent_registers) {
  HealthCheck check;
  check.configure(site("head -c 300000 /dev/zero; exec >&- 2>&-"), "n1", "/etc/bai.conf");
  check.run_and_wait(stop_[0]);
  EXPECT_FALSE(check.running());
  EXPECT_EQ(read("ran"), "n1\n");
}

TEST_F(Health, one_that_hangs_is_killed_with_its_children) {
  HealthCheck check(50);
  check.configure(site("sleep 600 & sleep 600"), "n1", "");
  check.run_and_wait(stop_[0]);
  EXPECT_FALSE(check.running());
  EXPECT_EQ(read("ran"), "");
}

TEST_F(Health, an_agent_that_shall_leave_does_not_wait_for_it) {
  HealthCheck check;
  check.configure(site("sleep 600"), "n1", "");
  ASSERT_EQ(write(stop_[1], "x", 1), 1);
  check.run_and_wait(stop_[0]);
  EXPECT_TRUE(check.running());
}

TEST_F(Health, comes_with_each_moment_of_the_interval) {
  HealthCheck check;
  check.configure(site(""), "n1", "");
  auto ran = [&](std::int64_t second, bool connected = true) {
    check.on_time(at(second), 0, false, connected);
    const bool began = check.running();
    end(check, second);
    return began;
  };
  EXPECT_FALSE(ran(3));
  EXPECT_FALSE(ran(9));
  EXPECT_TRUE(ran(10));  // at the same moment on all nodes
  EXPECT_FALSE(ran(15));
  EXPECT_FALSE(ran(20, false));  // the controller is away
  EXPECT_TRUE(ran(21));
  EXPECT_FALSE(ran(5));  // the clock was set back
  EXPECT_TRUE(ran(10));
  EXPECT_EQ(read("ran"), "n1\nn1\nn1\n");
}

TEST_F(Health, looks_at_the_nodes_that_it_shall) {
  auto config = site("");
  config.health_check_states = {.idle = true, .busy = false, .cycle = false};
  HealthCheck check;
  check.configure(config, "n1", "");
  check.on_time(at(0), 0, false, true);
  check.on_time(at(10), 0, true, true);
  EXPECT_FALSE(check.running());
  check.on_time(at(20), 0, false, true);
  EXPECT_TRUE(check.running());
  end(check, 20);
}

TEST_F(Health, nodes_take_turns_with_cycle) {
  auto config = site("", 1000);
  config.health_check_states.cycle = true;
  std::set<std::int64_t> moments;
  for (const char* node : {"n1", "n2", "n3"}) {
    HealthCheck check;
    check.configure(config, node, "");
    std::int64_t second = 0;
    for (check.on_time(at(0), 0, false, true); !check.running() && second < 3000;)
      check.on_time(at(++second), 0, false, true);
    EXPECT_LE(second, 1000);
    moments.insert(second);
    end(check, second);
  }
  EXPECT_GT(moments.size(), 1u);
}

TEST_F(Health, a_program_that_is_not_there_is_said_and_no_more) {
  auto config = site("");
  unlink(config.health_check_program.c_str());
  HealthCheck check;
  check.configure(config, "n1", "");
  check.run_and_wait(stop_[0]);
  EXPECT_FALSE(check.running());
}

}  // namespace
}  // namespace bai::agent
