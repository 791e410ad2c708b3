#include "fallback_report.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstddef>
#include <iostream>
#include <iterator>

#include "path/fallback_program.h"

namespace sockswitch {
namespace {

void print_options(FallbackKind kind) {
  for (const std::string& option : known_options(kind)) std::cout << option << '\n';
}

// Names, devices and obstacles of real programs: nothing in them needs to be escaped.
void print_programs() {
  std::vector<std::string> problems;
  for (const FallbackProgram& program : find_fallback_programs(&problems).programs) {
    const FallbackOptions& options = program.options;
    std::cout << R"({"kind":")" << fallback_name(program.kind) << R"(","pid":)" << program.pid
              << R"(,"netns":")" << program.netns.device << ':' << program.netns.inode
              << R"(","device":")" << program.device << R"(","obstacle4":")" << options.v4.obstacle
              << R"(","obstacle6":")" << options.v6.obstacle << R"(","servesBridges":)"
              << (options.serves_bridges ? "true" : "false") << "}\n";
  }
  for (const std::string& problem : problems) std::cerr << problem << '\n';
}

bool refuse_getfd() {
  struct sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pidfd_getfd, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog filter{std::size(program), program};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

}  // namespace

int report_fallback(std::string_view what, std::string_view program) {
  if (what == "find") {
    if (program == "without-getfd" && !refuse_getfd()) return 1;
    print_programs();
    return 0;
  }
  for (const FallbackKind kind : {FallbackKind::kPasta, FallbackKind::kSlirp4netns}) {
    if (what != "options" || program != fallback_name(kind)) continue;
    print_options(kind);
    return 0;
  }
  std::cerr << "usage: native-tests --fallback find [without-getfd] | options pasta | options "
               "slirp4netns\n";
  return 2;
}

}  // namespace sockswitch
