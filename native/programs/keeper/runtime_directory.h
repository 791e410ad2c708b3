// The runtime directory as ours alone: checked, locked, and cleared of our sockets in the end.
//
// One keeper serves a directory: it holds a lock on keeper.lock as long as it lives, and at its
// start waits a moment for one that may be ending. Sockets that are found with the lock taken are
// left-overs and are replaced. The lock file stays: removing it would race.
#pragma once

#include <string>
#include <vector>

#include "base/errno_error.h"
#include "base/unique_fd.h"

namespace sockswitch::keeper {

class RuntimeDirectory {
 public:
  // Throws ErrnoError, or std::runtime_error with the remedy.
  explicit RuntimeDirectory(std::string path);
  RuntimeDirectory(const RuntimeDirectory&) = delete;
  RuntimeDirectory& operator=(const RuntimeDirectory&) = delete;
  RuntimeDirectory(RuntimeDirectory&&) = delete;
  RuntimeDirectory& operator=(RuntimeDirectory&&) = delete;
  // Removes the sockets while it still has the lock.
  ~RuntimeDirectory();

  // A non-blocking listening socket. `inherited`: one of that name that another keeper has left, if
  // there is one. Throws like the constructor.
  UniqueFd listen(const std::string& name, int type, UniqueFd inherited = {});
  std::string path_of(const std::string& name) const { return path_ + "/" + name; }
  // Leaves the sockets' files where they are.
  void leave_sockets() { sockets_.clear(); }

 private:
  void take_lock();
  [[noreturn]] void refuse(const std::string& name, const ErrnoError& error) const;
  static bool serves(int fd, const std::string& path);

  std::string path_;
  UniqueFd lock_;
  std::vector<std::string> sockets_;
};

}  // namespace sockswitch::keeper
