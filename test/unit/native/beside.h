// The programs that are tested as they are.
#pragma once

#include <filesystem>
#include <string>

namespace sockswitch {

inline std::string beside_this_program(const char* name) {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path() / name;
}

}  // namespace sockswitch
