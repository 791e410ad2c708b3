{
  # sanitize=1: with AddressSanitizer and UndefinedBehaviorSanitizer (test/sanitize).
  "variables": {"sanitize%": 0, "tests%": "<!(test -d test/unit/native && echo yes || echo no)"},
  "target_defaults": {
    "cflags": ["-Wall", "-Wextra", "-Wshadow", "-Wno-missing-field-initializers"],
    "cflags_cc": ["-std=c++20"],
    "cflags_cc!": ["-fno-exceptions", "-std=gnu++17", "-std=gnu++20"],
    "include_dirs": ["native"],
    "ldflags": ["-Wl,-z,relro,-z,now"],
    "conditions": [
      ["sanitize==1", {
        "cflags": ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer", "-g"],
        "ldflags": ["-fsanitize=address,undefined", "-Wl,-rpath,'$$ORIGIN'"],
        "sources": ["test/sanitize_options.cc"]
      }]
    ]
  },
  "targets": [
    {
      "target_name": "sockswitch",
      "cflags_cc": ["-isystem <(module_root_dir)/<!(node -p \"require('node-addon-api').include_dir\")"],
      "defines": ["NAPI_VERSION=9", "NODE_ADDON_API_CPP_EXCEPTIONS", "NODE_ADDON_API_DISABLE_DEPRECATED"],
      "sources": [
        "native/addon/addon.cc",
        "native/addon/keeper_link.cc",
        "native/addon/values.cc",
        "native/kernel/control_thread.cc",
        "native/kernel/descriptor_table.cc",
        "native/kernel/errno_error.cc",
        "native/kernel/features.cc",
        "native/kernel/helper.cc",
        "native/kernel/interfaces.cc",
        "native/kernel/listener_record.cc",
        "native/kernel/netlink.cc",
        "native/kernel/netlink_message.cc",
        "native/kernel/netns.cc",
        "native/kernel/sock_diag.cc",
        "native/kernel/syscalls.cc",
        "native/kernel/task.cc",
        "native/kernel/unix_socket.cc",
        "native/kernel/watcher.cc",
        "native/notify/bind.cc",
        "native/notify/caller.cc",
        "native/notify/connect.cc",
        "native/notify/engine.cc",
        "native/notify/finish_connect.cc",
        "native/notify/interface_ioctl.cc",
        "native/notify/interrupted.cc",
        "native/notify/listen.cc",
        "native/notify/listener.cc",
        "native/notify/live_record.cc",
        "native/notify/notification.cc",
        "native/notify/port_privilege.cc",
        "native/notify/published.cc",
        "native/notify/target.cc",
        "native/path/command_line.cc",
        "native/path/fallback_options.cc",
        "native/path/fallback_program.cc",
        "native/path/filter_evaluation.cc",
        "native/path/filter_rules.cc",
        "native/path/firewall.cc",
        "native/path/firewall_sockets.cc",
        "native/path/ipvs.cc",
        "native/path/known_bits.cc",
        "native/path/netavark.cc",
        "native/path/nft_expression.cc",
        "native/path/nftables.cc",
        "native/path/traffic_control.cc",
        "native/path/xfrm.cc",
        "native/path/xt_extension.cc",
        "native/path/xtables.cc",
        "native/policy/address.cc",
        "native/policy/destination.cc",
        "native/policy/network_view.cc",
        "native/policy/outcome.cc",
        "native/publish/endpoint.cc",
        "native/publish/inside.cc",
        "native/publish/neighbours.cc",
        "native/publish/publication.cc",
        "native/publish/reactor.cc",
        "native/publish/relay.cc",
        "native/publish/stream.cc",
        "native/publish/tcp_port.cc",
        "native/publish/udp_port.cc",
        "native/switch/epoll_set.cc",
        "native/switch/guard_program.cc",
        "native/switch/host_socket.cc",
        "native/switch/replace.cc",
        "native/switch/socket_guard.cc",
        "native/switch/socket_options.cc",
        "native/switch/tcp_socket.cc"
      ]
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
      "conditions": [["sanitize==0", {"ldflags": ["-static"]}]]
    },
    {
      "target_name": "sockswitch-keeper",
      "type": "executable",
      "sources": [
        "native/programs/keeper.cc",
        "native/programs/descriptor_store.cc",
        "native/kernel/listener_record.cc",
        "native/kernel/unix_socket.cc",
        "native/kernel/errno_error.cc"
      ]
    },
    {
      "target_name": "sockswitch-guard",
      "type": "executable",
      "sources": [
        "native/programs/guard.cc",
        "native/switch/guard_program.cc",
        "native/kernel/unix_socket.cc",
        "native/policy/address.cc",
        "native/kernel/errno_error.cc"
      ],
      # A program with a capability looks for no library where it stands; sanitizers are libraries.
      "ldflags": ["-static"],
      "conditions": [
        ["sanitize==1", {
          "cflags!": ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"],
          "ldflags!": ["-fsanitize=address,undefined", "-Wl,-rpath,'$$ORIGIN'"],
          "sources!": ["test/sanitize_options.cc"]
        }]
      ]
    },
    {
      "target_name": "sockswitch-netns",
      "type": "executable",
      "sources": [
        "native/programs/netns.cc",
        "native/kernel/unix_socket.cc",
        "native/kernel/netlink.cc",
        "native/kernel/netlink_message.cc",
        "native/kernel/errno_error.cc",
        "native/policy/address.cc"
      ]
    }
  ],
  # A package has no tests in it.
  "conditions": [["tests=='yes'", {"targets": [
    {
      "target_name": "native-tests",
      "type": "executable",
      "include_dirs": ["test/unit/native"],
      "sources": [
        "test/unit/native/main.cc",
        "test/unit/native/json_scan_test.cc",
        "test/unit/native/unix_socket_test.cc",
        "test/unit/native/address_test.cc",
        "test/unit/native/descriptor_table_test.cc",
        "test/unit/native/fallback_report.cc",
        "test/unit/native/fallback_test.cc",
        "test/unit/native/guard_test.cc",
        "test/unit/native/kernel_text_test.cc",
        "test/unit/native/firewall_test.cc",
        "test/unit/native/netlink_message_test.cc",
        "test/unit/native/switch_test.cc",
        "native/programs/json_scan.cc",
        "native/kernel/unix_socket.cc",
        "native/kernel/errno_error.cc",
        "native/kernel/control_thread.cc",
        "native/kernel/descriptor_table.cc",
        "native/kernel/netlink.cc",
        "native/kernel/netlink_message.cc",
        "native/kernel/helper.cc",
        "native/kernel/interfaces.cc",
        "native/kernel/netns.cc",
        "native/kernel/syscalls.cc",
        "native/kernel/watcher.cc",
        "native/notify/caller.cc",
        "native/notify/interrupted.cc",
        "native/path/command_line.cc",
        "native/path/fallback_options.cc",
        "native/path/fallback_program.cc",
        "native/path/filter_evaluation.cc",
        "native/path/filter_rules.cc",
        "native/path/firewall.cc",
        "native/path/firewall_sockets.cc",
        "native/path/ipvs.cc",
        "native/path/known_bits.cc",
        "native/path/netavark.cc",
        "native/path/nft_expression.cc",
        "native/path/nftables.cc",
        "native/path/traffic_control.cc",
        "native/path/xfrm.cc",
        "native/path/xt_extension.cc",
        "native/path/xtables.cc",
        "native/policy/address.cc",
        "native/policy/destination.cc",
        "native/policy/network_view.cc",
        "native/policy/outcome.cc",
        "native/switch/guard_program.cc",
        "native/switch/socket_guard.cc",
        "native/switch/epoll_set.cc",
        "native/switch/socket_options.cc",
        "native/switch/tcp_socket.cc"
      ]
    },
    {
      "target_name": "firewall-probe",
      "type": "executable",
      "sources": [
        "test/unit/native/firewall_probe.cc",
        "native/kernel/netlink_message.cc",
        "native/kernel/errno_error.cc",
        "native/path/filter_evaluation.cc",
        "native/path/filter_rules.cc",
        "native/path/firewall.cc",
        "native/path/firewall_sockets.cc",
        "native/path/ipvs.cc",
        "native/path/known_bits.cc",
        "native/path/netavark.cc",
        "native/path/nft_expression.cc",
        "native/path/nftables.cc",
        "native/path/traffic_control.cc",
        "native/path/xfrm.cc",
        "native/path/xt_extension.cc",
        "native/path/xtables.cc",
        "native/policy/address.cc"
      ]
    }
  ]}]]
}
