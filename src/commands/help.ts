/** The manual's sections that commander does not make by itself. */

const FILES = `
Files:
  ~/.config/sockswitch/config.toml   configuration, optional (docs/configuration.md)
  ~/.config/sockswitch/hooks.d/      the hook that Podman runs, written by install
  $XDG_RUNTIME_DIR/sockswitch/       sockets of daemon and keeper
`;

const EXIT_STATUS = `
Exit status:
  0  success
  1  failure, or wrong usage; the message on stderr names the remedy
`;

export const general = `
sockswitch makes the connections of opted-in containers in the host's
network, so that the kernel carries their bytes instead of slirp4netns or
pasta. Whatever cannot or must not be switched keeps using the container's
own network.

Examples:
  sockswitch install
  podman run --annotation sockswitch/enable=true IMAGE
  sockswitch ps
${FILES}${EXIT_STATUS}  3  (status) the daemon is not running
`;

export const daemonDescription = `Runs the daemon in the foreground until SIGTERM or SIGINT.

It decides for each annotated container that starts how its seccomp profile is
rewritten, and serves the calls that are reported then. Containers keep
running when it stops; their new connections wait for the next daemon, because
the keeper, a small program that it starts, holds their listeners. One daemon
a user.

SIGHUP reads the configuration again, all or nothing: a bad file changes
nothing and is logged.`;

export const daemon = `
Log:
  Goes to stderr. One line when a container starts or stops and when a kind of
  fallback occurs for the first time; nothing for each connection at the level
  info.
${FILES}${EXIT_STATUS}
Examples:
  systemctl --user start sockswitch      where systemd runs
  sockswitch daemon --log-level debug    by hand
`;

export const statusDescription =
  'Prints whether the daemon runs, its version, the kernel features and optional programs in use, and how many containers it serves.';

export const status = `
Exit status:
  0  the daemon is running
  1  failure, or wrong usage
  3  the daemon is not running

Examples:
  sockswitch status
  sockswitch status --json | jq .containers
`;

export const psDescription = `Lists the accelerated containers that are running, and counts their calls:

  SWITCHED  connections that were made in the host's network
  FALLBACK  connections that went over the container's own network, by reason

PORTS are those of the annotation sockswitch/publish. TUNNELS are the peers of
the kernel's tunnels that are up, and those on the fallback network, with the
reasons below; "sockswitch tunnels" lists them.

Below stands what came from nested network namespaces: the pods of a Kubernetes
node, whose connections are left alone. A node does not know what they are
called.

Below that stand recent starts that were refused or went without acceleration, with
the reason. A bad annotation fails the start with a short message in Podman's
output; the whole of it is here and in the log. The NAME is asked of Podman
and empty where Podman cannot tell. A container of Kubernetes is shown as
NAMESPACE/POD/CONTAINER where containerd or CRI-O have annotated it so; every
verb that takes a container takes that name, too.`;

export const ps = `${EXIT_STATUS}
Examples:
  sockswitch ps
  sockswitch ps --json | jq '.containers[] | {name, counts}'
`;

export const doctorDescription = `Checks what acceleration depends on: the kernel, by trying what is needed; what
carries tunnels, and those that are on the fallback network; limits; the
programs that take capabilities: the socket guard and, for published ports,
sockswitch-names and sockswitch-repin; Podman, its runtime and its networks;
what install wrote, and whether another configuration file undoes it; the daemon
and the keeper; and the hook itself, by running it on a made-up container.
Changes nothing, needs no root.

  PROBLEM  acceleration does not work; what to do stands below
  WARNING  it may not, or not as well as it could
  note     worth knowing: what is optional and missing, what cannot be helped`;

export const doctor = `
Exit status:
  0  no problems (warnings, perhaps)
  1  failure, or wrong usage
  4  problems were found

Examples:
  sockswitch doctor
  sockswitch doctor --json | jq '.findings[] | select(.severity == "problem")'
`;

export const socketsDescription = `Lists the sockets of containers that are switched and open, as the kernel tells
at this moment. They belong to the host's network, so ss and netstat inside the
container do not show them.

  PID, FD         a process of the container, as the host numbers it, and its
                  descriptor
  SENT, RECEIVED  payload so far, acknowledged
  RTT             smoothed round-trip time`;

export const sockets = `${EXIT_STATUS}
Examples:
  sockswitch sockets
  sockswitch sockets web --json | jq '.sockets[] | .remote'
`;

export const tunnelsDescription = `Lists the peers of the kernel's tunnels (VXLAN and others) in accelerated
containers, and whether their packets are carried from host to host or go over
the fallback network. docs/tunnels.md says what must be there for that.

  STATE     up: carried; fallback: not, for REASON; connecting, greeting,
            proving: on the way to up; receiving: a peer that only sends
  SENT      payload of the tunnel's UDP packets; RECEIVED: from the same peer
  PAYLOADS  how many; one may stand for many packets
  DROPPED   what a slow connection could not take
  RTT       smoothed round-trip time of the connection`;

export const tunnels = `${EXIT_STATUS}
Examples:
  sockswitch tunnels
  sockswitch tunnels node1 --json | jq '.tunnels[].peers[] | .state'
`;

export const eventsDescription = `Prints what happened lately, oldest first: containers that started, were taken
over by a new daemon, or stopped; starts that were refused or went without
acceleration; the first time that a container's call was left to its own
network, for a reason; tunnels found, their peers up or on the
fallback network, and why; a published service that stays on a device that the
host's network has left; the keeper lost and back; the configuration read
again. At most 500 are kept, and none from before the daemon's start.`;

export const events = `
Exit status:
  0  success
  1  failure, or wrong usage
  3  (--follow) the daemon has ended

Examples:
  sockswitch events
  sockswitch events --follow --json
`;

export const topDescription = `Shows for each accelerated container what it does at the moment: connections a
second, switched sockets that are open, and what these and the
container's tunnels carry. Refreshed until you end it with Ctrl-C.

Bytes of connections that close between two looks are not counted.`;

export const top = `${EXIT_STATUS}
Examples:
  sockswitch top
  sockswitch top --once --interval 10
`;

export const completionDescription = `Prints a script that completes verbs, options and container names.`;

export const completion = `${EXIT_STATUS}
Examples:
  sockswitch completion bash >~/.local/share/bash-completion/completions/sockswitch
  sockswitch completion fish >~/.config/fish/completions/sockswitch.fish
  source <(sockswitch completion zsh)               # in ~/.zshrc, behind compinit
`;

export const stopDescription = `Stops the daemon, whether systemd or a person has started it, and the keeper, and
waits for their end.

Refuses while containers depend on it, and names them. With --force it stops
all the same: those containers keep running, with their open connections, and
the keeper stays for them. What they begin anew (connect, bind, listen) waits
until a daemon runs again; nothing fails.`;

export const stop = `${EXIT_STATUS}
Examples:
  sockswitch stop
  sockswitch stop --force && sockswitch daemon      # another build takes over
`;

export const explainDescription = `Tells what would happen now if a container connected to a destination, and by
which rule. Nothing is sent. For a UDP port of a tunnel (VXLAN) in the container
it tells whether the tunnel's packets to that peer are carried, and why not.

In a container with nested network namespaces (a Kubernetes node with its pods)
the answer holds for the container's own. How many connections of the others
were left alone stands below it.
--pod PID asks for a connection of a pod, by any process of it (PID on the host),
in a node container with the annotation sockswitch/pods=egress.

A host name is resolved on the host; the container may resolve it otherwise.`;

export const explain = `${EXIT_STATUS}
Examples:
  sockswitch explain web 192.0.2.10:5432
  sockswitch explain 3f2a [2001:db8::1]:443
  sockswitch explain web example.org --json
  sockswitch explain node1 192.0.2.12:8472/udp
  sockswitch explain default/web/nginx 192.0.2.10
  sockswitch explain node1 203.0.113.1:443 --pod 12345
`;

export const profileDescription = `Prints a seccomp profile that reports to the daemon what Podman's hook would have
arranged: for engines without such hooks (Docker, plain nerdctl), and for
runtimes that are called by hand. It names this user's runtime directory, so
print it on the machine and for the user that it is for. A container that runs
with it is accelerated without any annotation, and does not start without the
keeper. Annotations count where the engine passes them to the runtime.`;

export const profile = `${EXIT_STATUS}
Examples:
  sockswitch profile >profile.json
  podman run --security-opt seccomp=profile.json IMAGE
  sockswitch profile --oci          linux.seccomp of config.json, for crun run
`;

export const withDescription = `Runs a command such that every container and every build that it starts is opted
in to acceleration, as with the annotation sockswitch/enable=true. Your
configuration is not touched: it holds for the command and what it starts. The
command takes the place of sockswitch, so its terminal, its signals and its exit
status are its own.

Containers: an option of "podman run", "podman create" or a compose file that
says otherwise wins, as "--annotation sockswitch/enable=false" does. Builds
("podman build", "buildah build"): RUN steps get a seccomp profile that is made
from the one that they would have had. Neither reaches a Podman service (podman
--remote, podman-remote, DOCKER_HOST), which runs elsewhere: sockswitch says so
where it can see it, and does not start the command with --required. "podman
farm build", "buildah run" and the builds of "podman kube play" (not its
containers) work without acceleration.

--preset kubernetes is for commands that make Kubernetes nodes of containers:
addresses of pods and services stay inside, as the tool that it runs usually
numbers them (kind, minikube, kubeadm, k3s; all of these where it is none of
them), or as the command itself says: kind and kubeadm by --config FILE,
minikube, kubeadm and k3s by their options, "make" of Usernetes by
kubeadm-config.yaml. --pod-cidr and --service-cidr win over that. The preset
also sets --firewall ignore and --tunnels; --tunnels=false undoes the latter.
--pods egress accelerates pods' connections to public addresses, too, and
--pods egress,10.20.0.0/16 those to a private network; with the preset, network
policies do not hold for these.`;

export const withText = `
Environment of the command:
  CONTAINERS_CONF_OVERRIDE  a configuration for Podman, with what it named before
                            (CONTAINERS_CONF for Podman 4.3, which lacks it)
  PATH                      begins with a directory that holds podman,
                            podman-remote and buildah
  SOCKSWITCH_WITH           set, for a shell's prompt, say

Exit status:
  125  sockswitch could not start the command; the message names the remedy
  126  the command cannot be executed
  127  there is no such command
  otherwise that of the command

Examples:
  sockswitch with -- podman run --rm docker.io/library/alpine wget -qO- http://example.org
  sockswitch with -- podman build -t image .
  sockswitch with -- podman-compose up -d
  sockswitch with --preset kubernetes -- kind create cluster --config kind.yaml
  sockswitch with --shell --ignore 10.0.0.0/8,fd00::/8
`;

export const installDescription = `Installs sockswitch for this user:

  - Podman's hook, in a directory of its own
  - a containers.conf.d drop-in that makes Podman read that directory
  - systemd user units for daemon, keeper, socket guard, sockswitch-names and
    sockswitch-repin, enabled and started where a systemd user instance runs

Prints a line for each file: created, updated or unchanged. Running it again
is harmless, and needed after sockswitch or Node.js moved. Files that it did
not write, or that were edited, are never overwritten: it says which, and does
nothing; nor does it anything where the configuration is not understood.

On recent kernels the socket guard needs a capability before anything is
accelerated. Where it has none, the last lines say so, with the command that an
administrator gives. Lines that begin with "optional" say it of the two programs
for published ports, without which everything else works, and those that begin
with "In the way" of what containers cannot have here, where sockswitch itself
runs in a container.`;

export const install = `
Files:
  ~/.config/sockswitch/hooks.d/sockswitch.json
  ~/.config/containers/containers.conf.d/sockswitch.conf
  ~/.config/systemd/user/sockswitch.service, sockswitch-keeper.service,
    sockswitch-guard.socket, sockswitch-guard@.service,
    sockswitch-names.socket, sockswitch-names@.service,
    sockswitch-repin.socket, sockswitch-repin@.service
  ~/.config/sockswitch/installed.json               what was written, for uninstall
  ($XDG_CONFIG_HOME takes the place of ~/.config where it is set)
${EXIT_STATUS}
Examples:
  sockswitch install --dry-run
  sockswitch install
`;

export const uninstallDescription = `Removes what install installed, stops the daemon where systemd runs it, and
removes the directories that install had to make, if they are empty. Your
config.toml stays.

Refuses while accelerated containers are running: without a daemon their new
connections would wait for ever.`;

export const uninstall = `${EXIT_STATUS}
Examples:
  sockswitch uninstall --dry-run
  sockswitch uninstall
`;

export const benchDescription = `Measures how fast containers of your own rootless Podman are on each of their
networks, with sockswitch and without. It uses the programs that are installed
and no registry, leaves nothing behind, and does not touch your containers. Most
workloads talk to a second machine that runs "iperf3 -s" (--server).

  sockswitch bench --help           all workloads, drivers and options
  sockswitch bench --quick --server 192.0.2.7
  sockswitch bench calls start      what needs no second machine`;
