#include "kernel/listener_record.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>

#include "base/errno_error.h"

namespace sockswitch {
namespace {

constexpr int kSizeSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

void write_all(int fd, const void* data, std::size_t size, off_t offset) {
  const char* next = static_cast<const char*>(data);
  while (size > 0) {
    ssize_t written = ::pwrite(fd, next, size, offset);
    if (written < 0) {
      if (errno == EINTR) continue;
      throw_errno("pwrite", "listener record");
    }
    next += written;
    offset += written;
    size -= static_cast<std::size_t>(written);
  }
}

// Linux 6.3 knows memory that cannot be executed; with vm.memfd_noexec=2 it gives no other (6.3 to
// 6.5 unless the flag says so). Older kernels refuse the flag.
UniqueFd make_memfd(const char* name) {
  constexpr unsigned kNoExecSeal = 0x0008;  // MFD_NOEXEC_SEAL
  constexpr unsigned kFlags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  UniqueFd fd(::memfd_create(name, kFlags | kNoExecSeal));
  if (!fd && errno == EINVAL) fd = UniqueFd(::memfd_create(name, kFlags));
  if (!fd) throw_errno("memfd_create");
  return fd;
}

}  // namespace

UniqueFd make_record(std::string_view state) {
  UniqueFd fd = make_memfd("sockswitch-listener");
  const auto size = static_cast<off_t>(kRecordStateOffset + state.size());
  if (::ftruncate(fd.get(), size) != 0) throw_errno("ftruncate", "listener record");
  const RecordHeader header{.state_bytes = static_cast<std::uint32_t>(state.size())};
  write_all(fd.get(), &header, sizeof header, 0);
  write_all(fd.get(), state.data(), state.size(), kRecordStateOffset);
  if (::fcntl(fd.get(), F_ADD_SEALS, kSizeSeals) != 0) throw_errno("fcntl", "F_ADD_SEALS");
  return fd;
}

std::string read_record_state(int fd) {
  RecordHeader header;
  struct stat status{};
  const int seals = ::fcntl(fd, F_GET_SEALS);
  if (seals < 0 || (seals & kSizeSeals) != kSizeSeals || ::fstat(fd, &status) != 0 ||
      ::pread(fd, &header, sizeof header, 0) != sizeof header || header.magic != kRecordMagic ||
      header.state_offset < kRecordStateOffset || header.state_bytes > kMaxStateBytes ||
      status.st_size != static_cast<off_t>(header.state_offset) + header.state_bytes) {
    throw ErrnoError(EPROTO, "pread", "not the record of a listener");
  }
  std::string state(header.state_bytes, '\0');
  if (::pread(fd, state.data(), state.size(), header.state_offset) !=
      static_cast<ssize_t>(state.size())) {
    throw_errno("pread", "listener record");
  }
  return state;
}

}  // namespace sockswitch
