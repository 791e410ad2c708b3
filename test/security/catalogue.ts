/** The attacks: what each is called in docs/threat-model.md, and which program in attacks/ it is. */

export interface Attack {
  readonly id: string;
  readonly title: string;
  readonly program: string;
  readonly arguments?: readonly string[];
  /** A loop that races the trapped call; its tries in a system without acceleration are few. */
  readonly race?: boolean;
  /** Of interest where the network keeps the host's own address from containers. */
  readonly ownAddress?: boolean;
}

export const ATTACKS: readonly Attack[] = [
  {
    id: 'spellings-tcp',
    title: 'TCP to loopback and unspecified addresses, 14 spellings',
    program: 'spellings_tcp',
  },
  {
    id: 'spellings-udp',
    title: 'UDP to loopback and unspecified addresses, 14 spellings',
    program: 'spellings_udp',
  },
  {
    id: 'own-addresses',
    title: "the host's own addresses, its gateway, addresses that lead to the host",
    program: 'own_addresses',
  },
  {
    id: 'link-local',
    title: 'link-local, metadata, multicast and broadcast addresses',
    program: 'link_local',
  },
  { id: 'lengths', title: 'odd address lengths and families', program: 'lengths' },
  {
    id: 'disconnect',
    title: 'disconnect (AF_UNSPEC, shutdown, while waiting), then loopback',
    program: 'disconnect_reconnect',
  },
  {
    id: 'refused-reuse',
    title: 'a refused socket, used again for loopback, bind and listen',
    program: 'refused_reuse',
  },
  {
    id: 'fastopen',
    title: 'sends that connect: sendto, sendmsg, sendmmsg with MSG_FASTOPEN',
    program: 'fastopen',
  },
  {
    id: 'bind-listen',
    title: 'bind and listen on switched sockets, before and after disconnect',
    program: 'bind_listen',
  },
  { id: 'accepted', title: 'accepted sockets turned around', program: 'accepted' },
  {
    id: 'race-address',
    title: 'the address is rewritten while connect is trapped',
    program: 'race_address',
    race: true,
  },
  {
    id: 'race-own-address',
    title: "the same with the host's own address, where that is closed otherwise",
    program: 'race_address',
    arguments: ['own'],
    race: true,
    ownAddress: true,
  },
  {
    id: 'race-connect',
    title: 'the descriptor is swapped while connect is trapped',
    program: 'race_descriptor',
    arguments: ['connect'],
    race: true,
  },
  {
    id: 'race-connect-own',
    title: "the same with the host's own address, where that is closed otherwise",
    program: 'race_descriptor',
    arguments: ['connect-own'],
    race: true,
    ownAddress: true,
  },
  {
    id: 'race-disconnect',
    title: 'the descriptor is swapped while a disconnect is trapped',
    program: 'race_descriptor',
    arguments: ['disconnect'],
    race: true,
  },
  {
    id: 'race-bind',
    title: 'the descriptor is swapped while bind is trapped, then listen',
    program: 'race_descriptor',
    arguments: ['bind'],
    race: true,
  },
  {
    id: 'race-listen',
    title: 'the descriptor is swapped while listen is trapped',
    program: 'race_descriptor',
    arguments: ['listen'],
    race: true,
  },
  {
    id: 'race-disconnect-udp',
    title: 'the same with UDP, to receive from everybody',
    program: 'race_descriptor',
    arguments: ['disconnect-udp'],
    race: true,
  },
  { id: 'dup', title: 'duplicates, children and exec', program: 'dup_games' },
  {
    id: 'udp-other-destination',
    title: 'connected UDP that sends elsewhere, with a choice of interface',
    program: 'udp_other_destination',
  },
  { id: 'multicast', title: "memberships in the host's LAN", program: 'multicast' },
  { id: 'interface-ioctls', title: "the host's interfaces by ioctl", program: 'interface_ioctls' },
  {
    id: 'unpin',
    title: 'socket options that undo the pin (SO_BINDTODEVICE, SO_MARK, IP_TRANSPARENT, ...)',
    program: 'unpin',
  },
  { id: 'io-uring', title: 'io_uring', program: 'io_uring' },
  { id: 'other-abis', title: '32-bit calls (int 0x80, socketcall) and x32', program: 'other_abis' },
  {
    id: 'nested-namespaces',
    title: 'nested user and network namespaces',
    program: 'nested_namespaces',
  },
  { id: 'abstract-unix', title: "the host's abstract Unix sockets", program: 'abstract_unix' },
];

/** Not programs of one container: see scm-rights.test.ts. */
export const SCM_RIGHTS = {
  id: 'scm-rights',
  title: 'switched sockets given to an unaccelerated container (SCM_RIGHTS), to connect',
} as const;
export const SCM_RIGHTS_LISTEN = {
  id: 'scm-rights-listen',
  title: 'the same, to listen',
} as const;

/** The columns of the table. */
export const SYSTEMS = [
  'pasta',
  'slirp4netns',
  'bypass4netns',
  'sockswitch-pasta',
  'sockswitch-slirp4netns',
] as const;
export type System = (typeof SYSTEMS)[number];
