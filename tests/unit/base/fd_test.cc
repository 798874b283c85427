#include "base/fd.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>

namespace bai {
namespace {

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

TEST(Fd, closes_what_it_owns_once) {
  auto pipe = make_pipe();
  ASSERT_TRUE(pipe);
  const int raw = pipe->read.get();
  Fd moved = std::move(pipe->read);
  EXPECT_FALSE(pipe->read);
  EXPECT_TRUE(is_open(raw));
  moved.reset();
  EXPECT_FALSE(is_open(raw));
}

TEST(Fd, release_gives_ownership_away) {
  auto pipe = make_pipe();
  ASSERT_TRUE(pipe);
  const int raw = pipe->write.release();
  pipe->write.reset();
  EXPECT_TRUE(is_open(raw));
  ::close(raw);
}

TEST(Fd, pipes_are_close_on_exec) {
  auto pipe = make_pipe(O_NONBLOCK);
  ASSERT_TRUE(pipe);
  EXPECT_TRUE(::fcntl(pipe->read.get(), F_GETFD) & FD_CLOEXEC);
  EXPECT_TRUE(::fcntl(pipe->write.get(), F_GETFL) & O_NONBLOCK);
  ASSERT_TRUE(set_cloexec(pipe->read.get(), false));
  EXPECT_FALSE(::fcntl(pipe->read.get(), F_GETFD) & FD_CLOEXEC);
}

TEST(Fd, read_all_takes_exactly_the_limit) {
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{4096}, std::size_t{10000}}) {
    for (const int excess : {0, 1}) {
      auto pipe = make_pipe();
      ASSERT_TRUE(pipe);
      ASSERT_TRUE(write_all(pipe->write.get(), std::string(size + excess, 'x')));
      pipe->write.reset();
      const auto got = read_all(pipe->read.get(), size);
      EXPECT_EQ(got.ok(), excess == 0) << size;
      if (got) {
        EXPECT_EQ(got->size(), size);
      } else {
        EXPECT_EQ(got.error().code, "too_large");
      }
    }
  }
}

TEST(Fd, non_blocking_ends_are_waited_for) {
  auto pipe = make_pipe(O_NONBLOCK);
  ASSERT_TRUE(pipe);
  const std::string big(1 << 20, 'y');
  std::thread writer([&] {
    EXPECT_TRUE(write_all(pipe->write.get(), big));
    pipe->write.reset();
  });
  const auto got = read_all(pipe->read.get(), big.size());
  writer.join();
  ASSERT_TRUE(got);
  EXPECT_EQ(*got, big);
}

TEST(Fd, errors_name_the_path_and_have_codes) {
  const auto none = read_all("/nonexistent/file", 10);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, "not_found");
  EXPECT_EQ(none.error().place, "/nonexistent/file");
  EXPECT_EQ(errno_error("x", "", ENOSPC).code, "no_space");
  const auto closed = write_all(-1, "x");
  EXPECT_EQ(closed.error().code, "io_error");
}

TEST(Fd, proc_files_without_a_size_are_read_whole) {
  const auto got = read_all("/proc/self/status", 1 << 20);
  ASSERT_TRUE(got);
  EXPECT_NE(got->find("Pid:"), std::string::npos);
}

TEST(Wakeup, many_notifications_are_one) {
  auto wakeup = Wakeup::create();
  ASSERT_TRUE(wakeup);
  EXPECT_FALSE(wakeup->consume());
  std::thread other([&] {
    for (int i = 0; i < 100; ++i) wakeup->notify();
  });
  pollfd p{wakeup->fd(), POLLIN, 0};
  EXPECT_EQ(::poll(&p, 1, -1), 1);
  other.join();
  EXPECT_TRUE(wakeup->consume());
  EXPECT_FALSE(wakeup->consume());
}

}  // namespace
}  // namespace bai
