// The smallest test runner that does: TEST defines a test and registers it, CHECK and its kin
// report and go on. `native-tests` runs all, or those whose name contains its argument.
#pragma once

#include <functional>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

namespace sockswitch::check {

struct Test {
  std::string name;
  std::function<void()> body;
};

inline std::vector<Test>& tests() {
  static std::vector<Test> all;
  return all;
}

inline int& failures() {
  static int count = 0;
  return count;
}

struct Registration {
  Registration(std::string name, std::function<void()> body) {
    tests().push_back({std::move(name), std::move(body)});
  }
};

inline void fail(const char* file, int line, const std::string& what) {
  ++failures();
  std::cerr << file << ":" << line << ": " << what << "\n";
}

template <typename Left, typename Right>
void equal(const char* file, int line, const char* text, const Left& left, const Right& right) {
  if (left == right) return;
  ++failures();
  std::cerr << file << ":" << line << ": " << text << ": " << left << " is not " << right << "\n";
}

}  // namespace sockswitch::check

#define TEST(name)                                                                      \
  static void test_##name();                                                            \
  static const sockswitch::check::Registration registration_##name(#name, test_##name); \
  static void test_##name()

#define CHECK(condition)                                                                   \
  do {                                                                                     \
    if (!(condition)) sockswitch::check::fail(__FILE__, __LINE__, #condition " is false"); \
  } while (false)

#define CHECK_EQ(left, right) \
  sockswitch::check::equal(__FILE__, __LINE__, #left " == " #right, (left), (right))

// `expression` must throw ErrnoError with this errno.
#define CHECK_ERRNO(expression, expected)                                                       \
  do {                                                                                          \
    int thrown_ = 0;                                                                            \
    try {                                                                                       \
      (void)(expression);                                                                       \
    } catch (const sockswitch::ErrnoError& error_) {                                            \
      thrown_ = error_.error();                                                                 \
    }                                                                                           \
    sockswitch::check::equal(__FILE__, __LINE__, "errno of " #expression, thrown_, (expected)); \
  } while (false)
