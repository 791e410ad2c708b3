// The one exception type of the native code: which system call failed, and with which errno.
#pragma once

#include <stdexcept>
#include <string>

namespace sockswitch {

class ErrnoError : public std::runtime_error {
 public:
  // `syscall` names the call as its man page does; `detail` says on what, where that helps.
  ErrnoError(int error, std::string syscall, const std::string& detail = {});

  int error() const { return error_; }
  const std::string& syscall() const { return syscall_; }
  // The constant's name, for example "EPERM"; "123" for a number that libc does not know.
  std::string code() const;

 private:
  int error_;
  std::string syscall_;
};

// Throws ErrnoError for the present errno.
[[noreturn]] void throw_errno(const std::string& syscall, const std::string& detail = {});

}  // namespace sockswitch
