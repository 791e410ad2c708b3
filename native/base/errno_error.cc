#include "base/errno_error.h"

#include <cerrno>
#include <cstring>

namespace sockswitch {
namespace {

std::string describe(int error, const std::string& syscall, const std::string& detail) {
  std::string text = syscall;
  if (!detail.empty()) text += " " + detail;
  return text + ": " + ::strerror(error);
}

}  // namespace

ErrnoError::ErrnoError(int error, std::string syscall, const std::string& detail)
    : std::runtime_error(describe(error, syscall, detail)),
      error_(error),
      syscall_(std::move(syscall)) {}

std::string ErrnoError::code() const {
  const char* name = ::strerrorname_np(error_);
  if (name) return name;
  return std::to_string(error_);
}

void throw_errno(const std::string& syscall, const std::string& detail) {
  throw ErrnoError(errno, syscall, detail);
}

}  // namespace sockswitch
