// How start and front become another program, and what they say and end with where they cannot, as
// env(1) does.
#pragma once

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

namespace sockswitch {

// Exit statuses of programs that start others (env(1)).
enum Status { kCannotStart = 125, kCannotExecute = 126, kNotFound = 127 };

inline void say(const std::string& message) {
  std::string line = "sockswitch: " + message;
  for (char& byte : line) {
    if (static_cast<unsigned char>(byte) < ' ' || byte == 0x7f) byte = '?';
  }
  line += '\n';
  if (::write(STDERR_FILENO, line.data(), line.size()) < 0) return;  // nobody reads it
}

// Becomes the program; returns the errno where it cannot.
inline int execute(std::vector<std::string>& words) {
  std::vector<char*> pointers;
  pointers.reserve(words.size() + 1);
  for (auto& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  ::execvp(pointers.front(), pointers.data());
  return errno;
}

// The same; where it cannot, it says why and returns the status to end with.
inline int become(std::vector<std::string>& words) {
  const int error = execute(words);
  const std::string named = '"' + words.front() + '"';
  if (error == ENOENT) {
    say("there is no command " + named + ": check its spelling, and PATH");
    return kNotFound;
  }
  say("cannot execute " + named + " (" + std::strerror(error) + "): check its mode and its format");
  return kCannotExecute;
}

}  // namespace sockswitch
