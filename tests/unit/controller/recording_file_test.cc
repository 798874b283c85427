// The file of the scheduler's recording.
#include "controller/recording_file.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

namespace bai::controller {
namespace {

class RecordingFileTest : public testing::Test {
 protected:
  RecordingFileTest() {
    char name[] = "/tmp/recording.XXXXXX";
    folder = mkdtemp(name);
    path = folder + "/r";
  }
  ~RecordingFileTest() override { std::filesystem::remove_all(folder); }

  static std::string read(const std::string& from) {
    std::ifstream in(from, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  // How many records are in it; -1 when it ends within one.
  static int records(const std::string& from) {
    const std::string bytes = read(from);
    std::string_view left = bytes;
    std::size_t used = 0;
    if (!sokovan::RecordingReader::header(left, used).ok() || used == 0) return -1;
    sokovan::RecordingReader reader;
    int count = 0;
    for (left.remove_prefix(used); !left.empty(); left.remove_prefix(used), ++count)
      if (!reader.next(left, used).ok() || used == 0) return -1;
    return count;
  }
  static void live(RecordingFile& file, int decisions) {
    file.fresh();
    for (int i = 0; i < decisions; ++i) {
      file.applied(sokovan::JobGone{static_cast<JobId>(i + 1)});
      file.decided(Time::from_seconds(i + 1), {}, {});
    }
  }

  std::string folder, path;
};

TEST_F(RecordingFileTest, all_that_led_to_a_decision_is_there_with_it) {
  auto file = RecordingFile::create(path, 1 << 20);
  ASSERT_TRUE(file.ok());
  live(**file, 3);
  EXPECT_EQ(records(path), 7);
}

TEST_F(RecordingFileTest, the_life_before_is_kept_and_the_one_before_that_is_not) {
  for (int decisions = 1; decisions <= 3; ++decisions)
    live(**RecordingFile::create(path, 1 << 20), decisions);
  EXPECT_EQ(records(path), 7);
  EXPECT_EQ(records(path + ".1"), 5);
}

TEST_F(RecordingFileTest, ends_with_a_whole_record_before_it_is_too_large) {
  auto file = RecordingFile::create(path, 1000);
  ASSERT_TRUE(file.ok());
  live(**file, 1000);
  EXPECT_TRUE((*file)->ended());
  EXPECT_LE(read(path).size(), 1000u);
  EXPECT_GT(records(path), 50);
}

TEST_F(RecordingFileTest, where_none_can_be_made_is_an_error) {
  EXPECT_FALSE(RecordingFile::create(folder + "/no/r", 1000).ok());
}

}  // namespace
}  // namespace bai::controller
