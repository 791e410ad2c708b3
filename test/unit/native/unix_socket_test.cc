#include "kernel/unix_socket.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/errno_error.h"
#include "check.h"

namespace {

using namespace sockswitch;  // NOLINT(google-build-using-namespace): a test of this namespace

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "sockswitch-XXXXXX").string();
    if (!::mkdtemp(name.data())) throw_errno("mkdtemp");
    path_ = name;
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory() { std::filesystem::remove_all(path_); }

  std::string operator/(const char* name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

struct Pair {
  UniqueFd left;
  UniqueFd right;
};

Pair make_pair(int type) {
  std::array<int, 2> fds = {};
  if (::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds.data()) != 0) throw_errno("socketpair");
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

bool send_text(int fd, std::string text, std::span<const int> fds = {}) {
  const std::array<struct iovec, 1> parts = {{{.iov_base = text.data(), .iov_len = text.size()}}};
  return send_message(fd, parts, fds);
}

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

TEST(unix_listen_makes_a_socket_for_its_user_alone) {
  const TemporaryDirectory directory;
  const std::string path = directory / "s";
  const UniqueFd listener = unix_listen(path, SOCK_STREAM, 1);
  struct stat status = {};
  CHECK_EQ(::stat(path.c_str(), &status), 0);
  CHECK_EQ(status.st_mode & 07777U, 0600U);
  CHECK_EQ(::fcntl(listener.get(), F_GETFD), FD_CLOEXEC);
  CHECK_EQ(peer_credentials(unix_connect(path, SOCK_STREAM).get()).uid, ::geteuid());
}

TEST(unix_listen_replaces_a_dead_socket_only) {
  const TemporaryDirectory directory;
  const std::string path = directory / "s";
  UniqueFd first = unix_listen(path, SOCK_STREAM, 1);
  CHECK_ERRNO(unix_listen(path, SOCK_STREAM, 1), EADDRINUSE);
  CHECK_ERRNO(unix_listen(path, SOCK_SEQPACKET, 1), EADDRINUSE);
  first.reset();
  CHECK_ERRNO(unix_connect(path, SOCK_STREAM), ECONNREFUSED);
  const UniqueFd second = unix_listen(path, SOCK_SEQPACKET, 1);
  CHECK(unix_connect(path, SOCK_SEQPACKET).get() >= 0);
}

TEST(unix_listen_leaves_other_files_alone) {
  const TemporaryDirectory directory;
  const std::string path = directory / "file";
  std::ofstream(path) << "precious";
  CHECK_ERRNO(unix_listen(path, SOCK_STREAM, 1), ENOTSOCK);
  CHECK_EQ(std::filesystem::file_size(path), 8U);
  std::filesystem::create_symlink(path, directory / "link");
  CHECK_ERRNO(unix_listen(directory / "link", SOCK_STREAM, 1), ENOTSOCK);
}

TEST(unix_connect_names_what_is_wrong) {
  const TemporaryDirectory directory;
  CHECK_ERRNO(unix_connect(directory / "none", SOCK_STREAM), ENOENT);
  CHECK_ERRNO(unix_connect("/" + std::string(200, 'x'), SOCK_STREAM), ENAMETOOLONG);
  CHECK_ERRNO(unix_connect("", SOCK_STREAM), EINVAL);
  const UniqueFd listener = unix_listen(directory / "s", SOCK_STREAM, 0);
  const UniqueFd waiting = unix_connect(directory / "s", SOCK_STREAM | SOCK_NONBLOCK);
  CHECK_ERRNO(unix_connect(directory / "s", SOCK_STREAM | SOCK_NONBLOCK), EAGAIN);
}

TEST(messages_carry_text_and_descriptors) {
  const Pair pair = make_pair(SOCK_SEQPACKET);
  const Pair other = make_pair(SOCK_STREAM);
  const std::array<int, 2> fds = {other.left.get(), other.right.get()};
  CHECK(send_text(pair.left.get(), "hello", fds));
  const Message message = receive_message(pair.right.get(), 100);
  CHECK_EQ(message.bytes, "hello");
  CHECK_EQ(message.fds.size(), 2U);
  CHECK(!message.truncated);
  CHECK(!message.end);
  CHECK_EQ(::fcntl(message.fds.at(0).get(), F_GETFD), FD_CLOEXEC);
  CHECK(send_text(message.fds.at(0).get(), "through"));
  CHECK_EQ(receive_message(other.right.get(), 100).bytes, "through");
}

TEST(received_descriptors_close_with_the_message) {
  const Pair pair = make_pair(SOCK_SEQPACKET);
  int number = -1;
  {
    const std::array<int, 1> fds = {pair.left.get()};
    CHECK(send_text(pair.left.get(), "x", fds));
    const Message message = receive_message(pair.right.get(), 1);
    number = message.fds.at(0).get();
    CHECK(is_open(number));
  }
  CHECK(!is_open(number));
}

TEST(cut_messages_say_so) {
  const Pair pair = make_pair(SOCK_SEQPACKET);
  CHECK(send_text(pair.left.get(), "hello"));
  const Message cut = receive_message(pair.right.get(), 2);
  CHECK_EQ(cut.bytes, "he");
  CHECK(cut.truncated);
  const std::array<int, kMaxDescriptors + 1> fds = {};
  CHECK_ERRNO(send_text(pair.left.get(), "x", fds), EINVAL);
}

TEST(the_end_of_a_stream_is_told) {
  Pair pair = make_pair(SOCK_STREAM);
  pair.left.reset();
  CHECK(receive_message(pair.right.get(), 10).end);
  CHECK_ERRNO(send_text(pair.right.get(), "x"), EPIPE);
}

TEST(without_room_or_data_nothing_blocks) {
  const Pair pair = make_pair(SOCK_SEQPACKET | SOCK_NONBLOCK);
  CHECK_ERRNO(receive_message(pair.right.get(), 10), EAGAIN);
  const std::string text(std::size_t{16} * 1024, 'x');
  int sent = 0;
  while (sent < 10000 && send_text(pair.left.get(), text)) ++sent;
  CHECK(sent > 0);
  CHECK(sent < 10000);
  for (int i = 0; i < sent; ++i)
    CHECK_EQ(receive_message(pair.right.get(), 20000).bytes.size(), text.size());
  CHECK_ERRNO(receive_message(pair.right.get(), 10), EAGAIN);
}

TEST(a_stream_takes_a_long_message_whole) {
  const Pair pair = make_pair(SOCK_STREAM | SOCK_NONBLOCK);
  std::string head = "head";
  std::string text(std::size_t{4} * 1024 * 1024, 'x');
  std::string received;
  std::thread reader([&] {
    while (received.size() < head.size() + text.size()) {
      try {
        received += receive_message(pair.right.get(), 100000).bytes;
      } catch (const ErrnoError& error) {
        if (error.error() != EAGAIN) return;
        std::this_thread::yield();
      }
    }
  });
  const std::array<struct iovec, 2> parts = {{
      {.iov_base = head.data(), .iov_len = head.size()},
      {.iov_base = text.data(), .iov_len = text.size()},
  }};
  CHECK(send_message(pair.left.get(), parts));
  reader.join();
  CHECK(received == head + text);
}

}  // namespace
