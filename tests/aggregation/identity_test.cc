#include "pellucid/aggregation/identity.h"

#include "pellucid/core/file.h"

#include "tests/core/expect_error.h"
#include "tests/core/folder.h"
#include <sys/stat.h>

namespace pellucid::aggregation {
namespace {

using core::ErrorKind;

TEST(Identity, AKeyIsKeptInAFileForItsOwner) {
  const core::Folder folder;
  const Key key = make_key();
  save_key(key, folder / "key");
  struct stat status {};
  ASSERT_EQ(::stat((folder / "key").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
  const Key loaded = load_key(folder / "key");
  EXPECT_EQ(loaded.public_key, key.public_key);
  EXPECT_EQ(loaded.seed, key.seed);
  EXPECT_NE(make_key().seed, key.seed);
}

TEST(Identity, AKeyIsNotWrittenOver) {
  const core::Folder folder;
  save_key(make_key(), folder / "key");
  expect_error([&] { return save_key(make_key(), folder / "key"), 0; }, ErrorKind::kUsage, "a key is not written over");
}

TEST(Identity, RefusesWhatIsNoKey) {
  const core::Folder folder;
  expect_error([&] { return load_key(folder / "none"); }, ErrorKind::kIo, "none");
  const std::string seed(64, 'a');
  for (const std::string& text :
       {std::string("hello"), "pellucid-secret-key " + seed.substr(1), "pellucid-secret-key " + seed + " more",
        "pellucid-secret-kex " + seed, "pellucid-secret-key g" + seed.substr(1)}) {
    core::write_file(folder / "key", text);
    expect_error([&] { return load_key(folder / "key"); }, ErrorKind::kData, "got no key");
  }
}

TEST(Identity, ASignatureIsOfOneKeyAndOneDigest) {
  const Key key = make_key();
  const Digest digest = random_key();
  Signature signature = sign(digest, key);
  EXPECT_TRUE(is_signed(digest, signature, key.public_key));
  EXPECT_FALSE(is_signed(random_key(), signature, key.public_key));
  EXPECT_FALSE(is_signed(digest, signature, make_key().public_key));
  signature[10] ^= 1;
  EXPECT_FALSE(is_signed(digest, signature, key.public_key));
}

TEST(Roster, IsALineForEach) {
  const Key anna = make_key(), bob = make_key(), server = make_key();
  const std::string text = "# ours\nanna " + hex(anna.public_key) + "\n\n  bob  " + hex(bob.public_key) +
                           "  # new\nserver " + hex(server.public_key) + "\n";
  const Roster roster = parse_roster(text, "roster.txt");
  ASSERT_EQ(roster.clients.size(), 2U);
  EXPECT_EQ(roster.clients[1].name, "bob");
  EXPECT_EQ(roster.server, server.public_key);
  EXPECT_EQ(roster.place(bob.public_key), 1U);
  expect_error([&] { return roster.place(make_key().public_key); }, ErrorKind::kUsage, "is not in the roster");

  Roster other = roster;
  EXPECT_EQ(other.digest(), roster.digest());
  other.clients[0].name = "eve";
  EXPECT_NE(other.digest(), roster.digest());
  other = roster;
  std::swap(other.clients[0], other.clients[1]);
  EXPECT_NE(other.digest(), roster.digest());
  other = roster;
  other.server.reset();
  EXPECT_NE(other.digest(), roster.digest());
}

TEST(Roster, RefusesOtherLines) {
  const std::string a = hex(make_key().public_key), b = hex(make_key().public_key);
  const auto refused = [](const std::string& text, const std::string& message) {
    expect_error([&] { return parse_roster(text, "roster.txt"); }, ErrorKind::kData, message);
  };
  refused("anna\n", "roster.txt:1: got \"anna\", expected a line \"NAME PUBLIC-KEY\"");
  refused("anna " + a.substr(2), "roster.txt:1");
  refused("anna " + a + " more", "roster.txt:1");
  refused(std::string(65, 'n') + " " + a, "roster.txt:1");
  refused("anna " + a + "\nbob " + a, "roster.txt:2: got a key that stands there already");
  refused("server " + a + "\nbob " + a, "roster.txt:2: got a key that stands there already");
  refused("anna " + a + "\nanna " + b, "roster.txt:2: got the name \"anna\" again");
  refused("server " + a + "\nserver " + b, "roster.txt:2: got the name \"server\" again");
  const core::Folder folder;
  expect_error([&] { return load_roster(folder / "none"); }, ErrorKind::kIo, "none");
}

}  // namespace
}  // namespace pellucid::aggregation
