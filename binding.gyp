{
  "target_defaults": {
    "cflags": ["-Wall", "-Wextra", "-Wshadow", "-Wno-missing-field-initializers"],
    "cflags_cc": ["-std=c++20"],
    "cflags_cc!": ["-fno-exceptions", "-std=gnu++17", "-std=gnu++20"],
    "include_dirs": ["native"],
    "ldflags": ["-Wl,-z,relro,-z,now"]
  },
  "targets": [
    {
      "target_name": "sockswitch",
      "include_dirs": ["<!@(node -p \"require('node-addon-api').include_dir\")"],
      "defines": ["NAPI_VERSION=9", "NODE_ADDON_API_CPP_EXCEPTIONS", "NODE_ADDON_API_DISABLE_DEPRECATED"],
      "sources": ["<!@(ls native/addon/*.cc native/kernel/*.cc native/notify/*.cc native/switch/*.cc native/policy/*.cc)"]
    },
    {
      "target_name": "sockswitch-precreate",
      "type": "executable",
      "sources": [
        "native/programs/precreate.cc",
        "native/programs/json_scan.cc",
        "native/kernel/unix_socket.cc",
        "native/kernel/errno_error.cc"
      ],
      "ldflags": ["-static"]
    },
    {
      "target_name": "sockswitch-keeper",
      "type": "executable",
      "sources": [
        "native/programs/keeper.cc",
        "native/kernel/unix_socket.cc",
        "native/kernel/errno_error.cc"
      ]
    },
    {
      "target_name": "sockswitch-netns",
      "type": "executable",
      "sources": ["native/programs/netns.cc", "native/kernel/unix_socket.cc", "native/kernel/errno_error.cc"]
    },
    {
      "target_name": "native-tests",
      "type": "executable",
      "include_dirs": ["test/unit/native"],
      "sources": [
        "test/unit/native/main.cc",
        "test/unit/native/json_scan_test.cc",
        "test/unit/native/unix_socket_test.cc",
        "native/programs/json_scan.cc",
        "native/kernel/unix_socket.cc",
        "native/kernel/errno_error.cc"
      ]
    }
  ]
}
