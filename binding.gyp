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
      # What the addon is made of, without what speaks to Node.js: its tests are linked with the same.
      "target_name": "data-plane",
      "type": "static_library",
      "cflags": ["-fPIC"],
      "sources": [
        "native/base/address.cc",
        "native/base/errno_error.cc",
        "native/base/ipv4_block.cc",
        "native/base/outcome.cc",
        "native/base/public_address.cc",
        "native/base/socket_name.cc",
        "native/kernel/control_thread.cc",
        "native/kernel/descriptor_table.cc",
        "native/kernel/device_addresses.cc",
        "native/kernel/endpoint.cc",
        "native/kernel/features.cc",
        "native/kernel/generic_netlink.cc",
        "native/kernel/helper.cc",
        "native/kernel/interfaces.cc",
        "native/kernel/listener_record.cc",
        "native/kernel/netconf.cc",
        "native/kernel/netlink.cc",
        "native/kernel/netlink_message.cc",
        "native/kernel/netns.cc",
        "native/kernel/process_files.cc",
        "native/kernel/reactor.cc",
        "native/kernel/replace_process.cc",
        "native/kernel/sock_diag.cc",
        "native/kernel/socket_label.cc",
        "native/kernel/syscalls.cc",
        "native/kernel/task.cc",
        "native/kernel/unix_socket.cc",
        "native/kernel/watcher.cc",
        "native/notify/bind.cc",
        "native/notify/bound_inside.cc",
        "native/notify/caller.cc",
        "native/notify/connect.cc",
        "native/notify/container_network.cc",
        "native/notify/engine.cc",
        "native/notify/get_name.cc",
        "native/notify/get_option.cc",
        "native/notify/host_socket.cc",
        "native/notify/interface_ioctl.cc",
        "native/notify/interrupted.cc",
        "native/notify/landlock.cc",
        "native/notify/listen.cc",
        "native/notify/listener.cc",
        "native/notify/live_record.cc",
        "native/notify/notification.cc",
        "native/notify/pods.cc",
        "native/notify/port_privilege.cc",
        "native/notify/published.cc",
        "native/notify/replace.cc",
        "native/notify/resume_connect.cc",
        "native/notify/set_option.cc",
        "native/notify/shown_address.cc",
        "native/notify/target.cc",
        "native/path/block_routes.cc",
        "native/path/command_line.cc",
        "native/path/fallback_options.cc",
        "native/path/fallback_program.cc",
        "native/path/filter_evaluation.cc",
        "native/path/filter_rules.cc",
        "native/path/firewall.cc",
        "native/path/firewall_sockets.cc",
        "native/path/host_network.cc",
        "native/path/ipvs.cc",
        "native/path/ipvs_device.cc",
        "native/path/known_bits.cc",
        "native/path/link.cc",
        "native/path/namespace.cc",
        "native/path/netavark.cc",
        "native/path/network_view.cc",
        "native/path/nft_expression.cc",
        "native/path/nftables.cc",
        "native/path/pod_view.cc",
        "native/path/routing.cc",
        "native/path/service_addresses.cc",
        "native/path/surroundings.cc",
        "native/path/traffic_control.cc",
        "native/path/way.cc",
        "native/path/xfrm.cc",
        "native/path/xt_extension.cc",
        "native/path/xtables.cc",
        "native/policy/destination.cc",
        "native/publish/inside.cc",
        "native/publish/neighbours.cc",
        "native/publish/peer_names.cc",
        "native/publish/pins.cc",
        "native/publish/relay.cc",
        "native/publish/repinner.cc",
        "native/publish/reservation.cc",
        "native/publish/stream.cc",
        "native/publish/tcp_port.cc",
        "native/publish/udp_port.cc",
        "native/switch/epoll_set.cc",
        "native/switch/guard_program.cc",
        "native/switch/socket_guard.cc",
        "native/switch/socket_options.cc",
        "native/switch/socket_pool.cc",
        "native/switch/tcp_socket.cc",
        "native/tunnel/discovery.cc",
        "native/tunnel/frame.cc",
        "native/tunnel/inbound.cc",
        "native/tunnel/outbound.cc",
        "native/tunnel/proof.cc",
        "native/tunnel/receiver.cc",
        "native/tunnel/sender.cc",
        "native/tunnel/tap.cc",
        "native/tunnel/tun_probe.cc",
        "native/tunnel/tunnels.cc",
        "native/tunnel/underlay.cc",
        "native/tunnel/wire.cc"
      ]
    },
    {
      "target_name": "sockswitch",
      "dependencies": ["data-plane"],
      "cflags_cc": ["-isystem <(module_root_dir)/<!(node -p \"require('node-addon-api').include_dir\")"],
      "defines": ["NAPI_VERSION=9", "NODE_ADDON_API_CPP_EXCEPTIONS", "NODE_ADDON_API_DISABLE_DEPRECATED"],
      "sources": [
        "native/addon/addon.cc",
        "native/addon/keeper_link.cc",
        "native/addon/values.cc"
      ]
    },
    {
      "target_name": "sockswitch-precreate",
      "type": "executable",
      "sources": [
        "native/base/errno_error.cc",
        "native/kernel/unix_socket.cc",
        "native/programs/json_scan.cc",
        "native/programs/precreate.cc"
      ],
      "conditions": [["sanitize==0", {"ldflags": ["-static"]}]]
    },
    {
      "target_name": "sockswitch-start",
      "type": "executable",
      "sources": ["native/programs/start.cc"],
      "conditions": [["sanitize==0", {"ldflags": ["-static"]}]]
    },
    {
      "target_name": "sockswitch-front",
      "type": "executable",
      "sources": ["native/programs/front.cc"],
      "conditions": [["sanitize==0", {"ldflags": ["-static"]}]]
    },
    {
      "target_name": "sockswitch-keeper",
      "type": "executable",
      "sources": [
        "native/base/errno_error.cc",
        "native/kernel/listener_record.cc",
        "native/kernel/unix_socket.cc",
        "native/programs/keeper/acceptor.cc",
        "native/programs/keeper/daemon_link.cc",
        "native/programs/keeper/descriptor_store.cc",
        "native/programs/keeper/listeners.cc",
        "native/programs/keeper/main.cc",
        "native/programs/keeper/peers.cc",
        "native/programs/keeper/poller.cc",
        "native/programs/keeper/runtime_directory.cc"
      ]
    },
    {
      "target_name": "sockswitch-guard",
      "type": "executable",
      "sources": [
        "native/base/address.cc",
        "native/base/ipv4_block.cc",
        "native/base/public_address.cc",
        "native/base/errno_error.cc",
        "native/kernel/confinement.cc",
        "native/kernel/device_addresses.cc",
        "native/kernel/netlink_message.cc",
        "native/kernel/unix_socket.cc",
        "native/programs/guard.cc",
        "native/switch/guard_program.cc"
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
      "target_name": "sockswitch-names",
      "type": "executable",
      "sources": [
        "native/base/errno_error.cc",
        "native/kernel/confinement.cc",
        "native/kernel/unix_socket.cc",
        "native/programs/names.cc"
      ],
      # As the guard.
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
      "target_name": "sockswitch-repin",
      "type": "executable",
      "sources": [
        "native/base/errno_error.cc",
        "native/kernel/confinement.cc",
        "native/kernel/syscalls.cc",
        "native/kernel/unix_socket.cc",
        "native/programs/repin.cc"
      ],
      # As the guard.
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
        "native/base/address.cc",
        "native/base/ipv4_block.cc",
        "native/base/public_address.cc",
        "native/base/errno_error.cc",
        "native/kernel/netlink.cc",
        "native/kernel/netlink_message.cc",
        "native/kernel/socket_label.cc",
        "native/kernel/unix_socket.cc",
        "native/path/firewall_sockets.cc",
        "native/programs/netns.cc"
      ]
    }
  ],
  # A package has no tests in it.
  "conditions": [["tests=='yes'", {"targets": [
    {
      "target_name": "native-tests",
      "type": "executable",
      "dependencies": ["data-plane"],
      "include_dirs": ["test/unit/native"],
      "sources": [
        "native/programs/json_scan.cc",
        "test/unit/native/address_test.cc",
        "test/unit/native/background_test.cc",
        "test/unit/native/bound_inside_test.cc",
        "test/unit/native/caller_test.cc",
        "test/unit/native/descriptor_table_test.cc",
        "test/unit/native/device_addresses_test.cc",
        "test/unit/native/fallback_report.cc",
        "test/unit/native/fallback_test.cc",
        "test/unit/native/firewall_test.cc",
        "test/unit/native/guard_test.cc",
        "test/unit/native/helper_test.cc",
        "test/unit/native/json_scan_test.cc",
        "test/unit/native/kernel_text_test.cc",
        "test/unit/native/main.cc",
        "test/unit/native/netlink_message_test.cc",
        "test/unit/native/path_test.cc",
        "test/unit/native/public_address_test.cc",
        "test/unit/native/repin_test.cc",
        "test/unit/native/sock_diag_test.cc",
        "test/unit/native/socket_label_test.cc",
        "test/unit/native/socket_pool_test.cc",
        "test/unit/native/switch_test.cc",
        "test/unit/native/tunnel_test.cc",
        "test/unit/native/unix_socket_test.cc"
      ]
    },
    {
      "target_name": "firewall-probe",
      "type": "executable",
      "dependencies": ["data-plane"],
      "sources": ["test/unit/native/firewall_probe.cc"]
    }
  ]}]]
}
