#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "base/env.h"
#include "cast/new_file.h"
#include "cast/tree.h"

namespace bai::cast {
namespace {

TEST(CastTree, EveryReceiverHasAParentAndNoneTooManyChildren) {
  for (const std::uint32_t fanout : {1u, 2u, 8u}) {
    std::map<std::uint32_t, std::uint32_t> children;
    std::uint32_t fed_by_root = 0;
    for (std::uint32_t rank = 0; rank < 1000; ++rank) {
      const auto parent = parent_of(rank, fanout);
      if (!parent) {
        ++fed_by_root;
        continue;
      }
      EXPECT_LT(*parent, rank);
      EXPECT_LE(++children[*parent], fanout);
    }
    EXPECT_EQ(fed_by_root, fanout);
  }
}

TEST(CastTree, PiecesComeOutAsTheyWentIn) {
  const std::string zeros(kMaxPiece, '\0');
  const Piece small = pack(zeros, true);
  EXPECT_EQ(small.detail, 1);
  EXPECT_LT(small.bytes.size(), zeros.size() / 100);
  EXPECT_EQ(unpack(small.detail, small.bytes).value(), zeros);
  const Piece plain = pack("abc", true);  // it does not shrink
  EXPECT_EQ(plain.detail, 0);
  EXPECT_EQ(unpack(plain.detail, plain.bytes).value(), "abc");
  EXPECT_EQ(pack(zeros, false).detail, 0);
}

TEST(CastTree, RefusesPiecesThatAreNone) {
  EXPECT_FALSE(unpack(1, "garbage").ok());
  EXPECT_FALSE(unpack(2, "abc").ok());
  EXPECT_FALSE(unpack(0, std::string(kMaxPiece + 1, 'x')).ok());
  const Piece small = pack(std::string(kMaxPiece, 'x'), true);
  EXPECT_FALSE(unpack(1, small.bytes.substr(0, small.bytes.size() / 2)).ok());
}

class NewFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "/cast.XXXXXX";
    ASSERT_TRUE(mkdtemp(name.data()));
    dir_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }
  std::string read() { return Env::real().read_file(dir_ + "/f", 100).value(); }
  std::size_t entries() { return Env::real().list_dir(dir_).value().size(); }
  std::string dir_;
};

TEST_F(NewFileTest, IsThereWholeOrNotAtAll) {
  {
    auto file = NewFile::make(dir_ + "/f", false);
    ASSERT_TRUE(file.ok()) << file.error().text();
    ASSERT_TRUE(file->write("half").ok());
    EXPECT_FALSE(std::filesystem::exists(dir_ + "/f"));
  }
  EXPECT_EQ(entries(), 0u);
  auto file = NewFile::make(dir_ + "/f", false);
  ASSERT_TRUE(file->write("whole").ok());
  ASSERT_TRUE(file->finish({0640, timespec{5, 0}, timespec{7, 9}}).ok());
  struct stat look {};
  ASSERT_EQ(stat((dir_ + "/f").c_str(), &look), 0);
  EXPECT_EQ(look.st_mode & 07777, 0640u);
  EXPECT_EQ(look.st_atim.tv_sec, 5);
  EXPECT_EQ(look.st_mtim.tv_nsec, 9);
  EXPECT_EQ(read(), "whole");
}

TEST_F(NewFileTest, ReplacesOnlyWhenItMay) {
  std::ofstream(dir_ + "/f") << "old";
  EXPECT_EQ(NewFile::make(dir_ + "/f", false).error().code, "exists");
  auto file = NewFile::make(dir_ + "/f", true);
  ASSERT_TRUE(file.ok() && file->write("new").ok());
  EXPECT_EQ(read(), "old");
  ASSERT_TRUE(file->finish({}).ok());
  EXPECT_EQ(read(), "new");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(NewFileTest, OneThatAppearedMeanwhileIsLeftAlone) {
  auto file = NewFile::make(dir_ + "/f", false);
  ASSERT_TRUE(file.ok() && file->write("new").ok());
  std::ofstream(dir_ + "/f") << "old";
  EXPECT_EQ(file->finish({}).error().code, "exists");
  EXPECT_EQ(read(), "old");
}

}  // namespace
}  // namespace bai::cast
