// sockswitch-front: what `podman`, `podman-remote` and `buildah` are in the PATH of a command that
// `sockswitch with` has started; links of these names lead here (src/commands/with.ts). Becomes the
// real program at once, with words and variables byte for byte, except where front.js has to look
// at the call first: where a build may need an option, or a Podman service may be asked
// (src/with/front.ts).
//
//   SOCKSWITCH_WITH_PODMAN, SOCKSWITCH_WITH_PODMAN_REMOTE, SOCKSWITCH_WITH_BUILDAH
//                              the real programs; empty where PATH had none
//   SOCKSWITCH_WITH_START      becomes what front.js says (start.cc)
//   SOCKSWITCH_WITH_REMOTE     Podman's configuration leads to a service
//   SOCKSWITCH_WITH_REQUIRED   nothing may run without acceleration
//
// Who clears the environment but for PATH (env -i, tox) gets the next program of the name in PATH,
// as without `with`: what opts containers in is gone with the environment.
//
// Looking takes Node.js a tenth of a second, so calls that nothing can be wrong with shall not be
// looked at. This program does not know which options of Podman and Buildah have values, so it
// cannot tell a verb from a value. It looks wherever a word may be what matters, and front.js,
// which knows them, finds the others (`podman run image build`, say) and leaves them as they are:
//
//   anywhere       verbs that build, `from`, and --build of `podman kube play`; long options that
//                  name a service, or begin like one that does
//   before a verb  what begins with a short option that names a service, since a verb's own are
//                  others (`run -c`); `compose`, which may start Docker's
//
// The verb is the first word that is neither an option nor perhaps an option's value. All calls of
// podman-remote ask a service. Those of buildah matter where acceleration is required: `run` has
// none.
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "programs/become.h"

namespace sockswitch {
namespace {

constexpr std::array<std::string_view, 5> kBuilds{"build", "bud", "build-using-dockerfile", "from",
                                                  "--build"};
constexpr std::array<std::string_view, 6> kServices{"--build=",     "--remote",  "--url",
                                                    "--connection", "--context", "--host"};

std::string_view base_name(std::string_view path) {
  return path.substr(path.find_last_of('/') + 1);  // npos + 1 is 0
}

struct Tool {
  std::string_view name;
  const char* variable;
};
constexpr std::array<Tool, 3> kTools{{{"podman", "SOCKSWITCH_WITH_PODMAN"},
                                      {"podman-remote", "SOCKSWITCH_WITH_PODMAN_REMOTE"},
                                      {"buildah", "SOCKSWITCH_WITH_BUILDAH"}}};

// By the path that this program was executed by, which whoever executes it need not repeat in
// argv[0]; fexecve(3) leaves a number in the place of the path. Any other name is a link to
// `podman`.
const Tool& tool(const char* argv0) {
  // NOLINTNEXTLINE(performance-no-int-to-ptr): the kernel has it so
  const auto* path = reinterpret_cast<const char*>(::getauxval(AT_EXECFN));
  for (const char* called : {path, argv0}) {
    if (called == nullptr) continue;
    const auto* found = std::ranges::find(kTools, base_name(called), &Tool::name);
    if (found != kTools.end()) return *found;
  }
  return kTools.front();
}

const char* variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

bool is_set(const char* name) { return *variable(name) != '\0'; }

bool matters_anywhere(std::string_view word) {
  return std::ranges::find(kBuilds, word) != kBuilds.end() ||
         std::ranges::any_of(kServices, [&](auto begin) { return word.starts_with(begin); });
}

// -r, -c and -H are short for --remote, --connection and --host; a value can stand right behind.
bool matters_before_verb(std::string_view word) {
  return word.starts_with("-r") || word.starts_with("-c") || word.starts_with("-H") ||
         word == "compose";
}

// Whether the next word may be the option's value.
bool may_take_next(std::string_view option) {
  if (option.starts_with("--")) return option.find('=', 2) == std::string_view::npos;
  return option == "-c" || option == "-H";
}

bool has_to_look(std::string_view name, std::span<const std::string> words) {
  if (name == "podman-remote") return true;
  if (name == "buildah" && is_set("SOCKSWITCH_WITH_REQUIRED")) return true;
  for (const char* service : {"CONTAINER_HOST", "CONTAINER_CONNECTION"}) {
    if (std::getenv(service) != nullptr) return true;  // an empty one, too
  }
  if (is_set("SOCKSWITCH_WITH_REMOTE")) return true;
  bool before_verb = true;
  bool may_be_value = false;
  for (const std::string& word : words) {
    if (matters_anywhere(word) || (before_verb && matters_before_verb(word))) return true;
    if (word.starts_with('-')) {
      may_be_value = may_take_next(word);
    } else if (may_be_value) {
      may_be_value = false;
    } else {
      before_verb = false;
    }
  }
  return false;
}

// Whether this is the program that runs here.
bool is_self(const std::string& path) {
  struct stat one{};
  struct stat self{};
  return ::stat(path.c_str(), &one) == 0 && ::stat("/proc/self/exe", &self) == 0 &&
         one.st_dev == self.st_dev && one.st_ino == self.st_ino;
}

// The next program of the name in PATH, behind this one's links; empty where there is none.
std::string next_in_path(const std::string& name) {
  std::string_view path = variable("PATH");
  while (!path.empty()) {
    const auto end = std::min(path.find(':'), path.size());
    const std::string candidate = std::string(path.substr(0, end)) + '/' + name;
    path.remove_prefix(std::min(end + 1, path.size()));
    if (candidate.front() == '/' && ::access(candidate.c_str(), X_OK) == 0 && !is_self(candidate))
      return candidate;
  }
  return {};
}

int front(int argc, char** argv) {
  const auto& [tool_name, tool_variable] = tool(argc > 0 ? argv[0] : nullptr);
  const std::string name(tool_name);
  std::vector<std::string> given(argv + (argc > 0 ? 1 : 0), argv + argc);
  const char* said = std::getenv(tool_variable);
  const std::string real = said == nullptr ? next_in_path(name) : said;
  if (real.empty()) {
    say(said == nullptr ? "there is no other " + name + " in PATH"
                        : name + " was not in PATH when \"sockswitch with\" was started");
    return kNotFound;
  }
  if (is_self(real)) {
    say("\"" + real +
        "\" leads to this program again: correct PATH, and start sockswitch with anew");
    return kCannotExecute;
  }
  std::vector<std::string> words{real};
  if (is_set("SOCKSWITCH_WITH_START") && has_to_look(name, given))
    words = {variable("SOCKSWITCH_WITH_START"), "with-front", name};
  words.insert(words.end(), given.begin(), given.end());
  return become(words);
}

}  // namespace
}  // namespace sockswitch

int main(int argc, char** argv) { return sockswitch::front(argc, argv); }
