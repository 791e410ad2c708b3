/**
 * Rewrites a container's seccomp profile so that the calls we switch are reported to us.
 *
 * The promise: what was denied stays denied, with the same errno. What was allowed is allowed, or
 * reported to us (SCMP_ACT_NOTIFY), or, for io_uring, which would go around us, answered with ENOSYS.
 *
 * What follows from how runtimes and libseccomp read a profile (tried with libseccomp 2.5 and read in
 * crun and runc):
 *
 * - A rule whose action equals the default action has no effect; the runtimes skip it.
 * - An unconditional rule shadows every conditional one of the same call, in whatever order they come.
 *   So under an allowing default, "report this call" cannot stand beside conditional denials of it.
 * - Two unconditional rules with different actions for one call fail the container's start.
 * - The order of overlapping conditional rules is libseccomp's own. Replacing ALLOW by NOTIFY in place,
 *   with the same conditions, is safe, because the order does not depend on the action.
 * - On 32-bit x86, libseccomp adds a rule for `socketcall` to each rule of a socket call. A rule of the
 *   profile that allows `socketcall` itself would shadow these, and any process (64-bit ones, too, by
 *   int 0x80) could go around us: it is split by sub-call.
 * - `errnoRet` beside an action that takes none fails the start (crun).
 */
import { UserError } from '../base/errors.js';
import { quote } from '../base/text.js';
import { LISTENER_METADATA, printMetadata } from './listener-metadata.js';
import { CONNECT, reportInternetLengths } from './seccomp-connect.js';
import { refuseFastOpen } from './seccomp-fastopen.js';
import { GETSOCKOPT, reportOriginalDestination } from './seccomp-getsockopt.js';
import { IOCTL, reportInterfaceRequests } from './seccomp-ioctl.js';
import { reportRareOptions, SETSOCKOPT } from './seccomp-setsockopt.js';
import type { Seccomp, SeccompRule } from './seccomp-types.js';

const WAIT_KILLABLE = 'SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV';
const NOTIFY = 'SCMP_ACT_NOTIFY';
const ALLOWING = new Set(['SCMP_ACT_ALLOW', 'SCMP_ACT_LOG']);
const ENOSYS = 38;

/** Reported to us. If connect is, bind and listen must be, too: they could act on a host socket. */
const GUARDED = ['connect', 'bind', 'listen'] as const;
/** Reported before it is executed: from then on the kernel has to see what the program calls (native/notify/landlock.h). */
const RESTRICTING = ['landlock_restrict_self'] as const;
/** Reported where the profile lets us: the data plane only learns from them. */
const OBSERVED = ['epoll_create', 'epoll_create1'] as const;
/** Reported where the container is to see other names than the kernel's. */
const GETSOCKNAME = 'getsockname';
const IO_URING = ['io_uring_setup', 'io_uring_enter', 'io_uring_register'] as const;

/** What 32-bit x86's socketcall does by its first argument, from 1 on (linux/net.h). */
const SOCKETCALLS = [
  ...['socket', 'bind', 'connect', 'listen', 'accept', 'getsockname', 'getpeername', 'socketpair'],
  ...['send', 'recv', 'sendto', 'recvfrom', 'shutdown', 'setsockopt', 'getsockopt', 'sendmsg'],
  ...['recvmsg', 'accept4', 'recvmmsg', 'sendmmsg'],
];

export interface RewriteOptions {
  /** Where the runtime sends the notification descriptor. */
  readonly listenerPath: string;
  /** Ask for SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (Linux 5.19; crun takes it, runc 1.1 does not). */
  readonly waitKillable: boolean;
  /** See seccomp-fastopen.ts. */
  readonly refuseFastOpen: boolean;
  /**
   * Report getsockname, and getsockopt for the original destination: the container publishes ports and is to see its own names
   * (native/notify/get_name.cc, native/notify/get_option.cc).
   */
  readonly reportNames?: boolean;
  /** `process.arch`, for a spec that has no seccomp section. */
  readonly machine: string;
  /** For an engine that hands no annotations to the runtime: what the container asks for. */
  readonly annotations?: Readonly<Record<string, string>>;
}

export type Rewrite =
  | { readonly kind: 'rewritten'; readonly seccomp: Seccomp }
  /** Nothing to do: this profile was rewritten before. */
  | { readonly kind: 'already-ours' }
  /** The profile never lets the container connect. */
  | { readonly kind: 'nothing-to-accelerate'; readonly reason: string };

export type SeccompProblem = 'listener-in-use' | 'inexpressible';

/** A profile that cannot be rewritten without breaking a promise. */
export class SeccompError extends UserError {
  override readonly name = 'SeccompError';
  readonly problem: SeccompProblem;

  constructor(problem: SeccompProblem, message: string) {
    super(message);
    this.problem = problem;
  }
}

/** Pure; `seccomp` is undefined for an unconfined container. Throws SeccompError. */
export function rewriteSeccomp(seccomp: Seccomp | undefined, options: RewriteOptions): Rewrite {
  const profile = seccomp ?? emptyProfile(options.machine);
  if (profile.listenerPath === options.listenerPath) return { kind: 'already-ours' };
  refuseOtherListener(profile);

  let rules = profile.syscalls ?? [];
  for (const name of GUARDED) {
    rules =
      name === CONNECT
        ? report(profile, rules, CONNECT, reportInternetLengths, true)
        : notify(profile, rules, name, true);
  }
  if (!rules.some((rule) => rule.action === NOTIFY && rule.names.includes('connect'))) {
    return {
      kind: 'nothing-to-accelerate',
      reason: "the container's seccomp profile never allows connect",
    };
  }
  for (const name of RESTRICTING) rules = notify(profile, rules, name, true);
  for (const name of OBSERVED) rules = notify(profile, rules, name, false);
  if (options.reportNames === true) {
    rules = notify(profile, rules, GETSOCKNAME, false);
    rules = report(profile, rules, GETSOCKOPT, reportOriginalDestination, false);
  }
  rules = report(profile, rules, IOCTL, reportInterfaceRequests, false);
  rules = report(profile, rules, SETSOCKOPT, reportRareOptions, false);
  rules = guardSocketcall(profile, rules, options);
  for (const name of IO_URING) rules = answerEnosys(profile, rules, name);
  if (options.refuseFastOpen) rules = refuseFastOpen(rules, allowsByDefault(profile));

  const result: Seccomp = {
    ...profile,
    listenerPath: options.listenerPath,
    listenerMetadata:
      options.annotations === undefined
        ? LISTENER_METADATA
        : printMetadata({
            networkAdmin: false,
            optionsReported: false,
            annotations: options.annotations,
          }),
    syscalls: rules,
  };
  if (options.waitKillable && !(profile.flags ?? []).includes(WAIT_KILLABLE)) {
    result.flags = [...(profile.flags ?? []), WAIT_KILLABLE];
  }
  return { kind: 'rewritten', seccomp: result };
}

function refuseOtherListener(profile: Seccomp): void {
  if (
    profile.listenerPath !== undefined &&
    profile.listenerPath !== null &&
    profile.listenerPath !== ''
  ) {
    throw new SeccompError(
      'listener-in-use',
      `the container's seccomp profile already has the listenerPath ${quote(profile.listenerPath)}, and a container can have only one: use a profile without it, or set sockswitch/enable=false`,
    );
  }
  const notified =
    profile.defaultAction === NOTIFY
      ? 'defaultAction'
      : profile.syscalls?.find((rule) => rule.action === NOTIFY)?.names[0];
  if (notified === undefined) return;
  throw new SeccompError(
    'listener-in-use',
    `the container's seccomp profile already uses SCMP_ACT_NOTIFY (for ${quote(notified)}), which would come to sockswitch: use a profile without it, or set sockswitch/enable=false`,
  );
}

/** Rules after the calls named `name` that were allowed are reported. */
function notify(
  profile: Seccomp,
  rules: readonly SeccompRule[],
  name: string,
  guarded: boolean,
): SeccompRule[] {
  const effective = rulesOf(profile, name);
  const denials = effective.filter((rule) => !isAllowing(rule));
  if (denials.some(isUnconditional)) return [...rules]; // denied for good
  if (!allowsByDefault(profile)) {
    if (denials.length > 0 && new Set(effective.filter(isAllowing).map((r) => r.action)).size > 1) {
      // Two kinds of allowing rules would become one, which can change how libseccomp merges them.
      return inexpressible(rules, name, guarded, 'both allowing, logging and denying rules');
    }
    return splitOut(profile, rules, name, (rule) => [ruleFor(name, NOTIFY, rule)]);
  }
  if (denials.length > 0) {
    return inexpressible(rules, name, guarded, 'conditional denials under an allowing default');
  }
  // Nothing is denied, so one unconditional rule says it all; what allowed conditionally goes.
  return [...splitOut(profile, rules, name, () => []), { names: [name], action: NOTIFY }];
}

function inexpressible(
  rules: readonly SeccompRule[],
  name: string,
  guarded: boolean,
  what: string,
): SeccompRule[] {
  if (!guarded) return [...rules];
  throw new SeccompError(
    'inexpressible',
    `the container's seccomp profile has ${what} for ${name}, which cannot be combined with acceleration safely: allow or deny ${name} as a whole, or set sockswitch/enable=false`,
  );
}

/** The plain cases in part, as `some` says; else all of the call that is allowed, where the profile can express it. */
function report(
  profile: Seccomp,
  rules: readonly SeccompRule[],
  name: string,
  some: (allow: string | undefined) => SeccompRule[],
  guarded: boolean,
): SeccompRule[] {
  const effective = rulesOf(profile, name);
  const [first] = effective;
  if (first === undefined) {
    return allowsByDefault(profile) ? [...rules, ...some(undefined)] : [...rules];
  }
  const plain = effective.every((rule) => isUnconditional(rule) && rule.action === first.action);
  if (!plain || !isAllowing(first)) return notify(profile, rules, name, guarded);
  const others = splitOut(profile, rules, name, () => []);
  return [...others, ...some(first.action)];
}

function guardSocketcall(
  profile: Seccomp,
  rules: readonly SeccompRule[],
  options: RewriteOptions,
): SeccompRule[] {
  const effective = rulesOf(profile, 'socketcall');
  if (effective.some((rule) => !isAllowing(rule) && isUnconditional(rule))) return [...rules];
  const whole = effective.find((rule) => isAllowing(rule) && isUnconditional(rule));
  if (effective.length === 0) return [...wholeSubCalls(rules), ...rules];
  if (whole === undefined) {
    // Conditional permissions are reported as they are: the data plane lets other sub-calls through.
    return splitOut(profile, rules, 'socketcall', (rule) => [ruleFor('socketcall', NOTIFY, rule)]);
  }
  // First of all rules: libseccomp ignores a later, narrower rule for a sub-call, but may take it for a
  // contradiction (EEXIST, which fails the start) when it comes first.
  const others = rules.flatMap((rule) => without(rule, 'socketcall'));
  return [...subCalls(profile, whole.action, options), ...others];
}

/** For calls that are reported in part: libseccomp would look for their arguments where a sub-call has none. */
function wholeSubCalls(rules: readonly SeccompRule[]): SeccompRule[] {
  return [CONNECT, SETSOCKOPT, GETSOCKOPT]
    .filter((name) =>
      rules.some(
        (rule) => rule.names.includes(name) && rule.action === NOTIFY && !isUnconditional(rule),
      ),
    )
    .map((name) => socketcallRule(SOCKETCALLS.indexOf(name) + 1, NOTIFY));
}

/** A rule for each sub-call, but for those that libseccomp derives another rule for by itself. */
function subCalls(profile: Seccomp, action: string, options: RewriteOptions): SeccompRule[] {
  return SOCKETCALLS.flatMap((name, index) => {
    const guarded = isGuarded(name) || (isAboutNames(name) && options.reportNames === true);
    const contradicted = rulesOf(profile, name)
      .filter(isUnconditional)
      .some((rule) => !isAllowing(rule) || (!guarded && rule.action !== action));
    return contradicted ? [] : [socketcallRule(index + 1, guarded ? NOTIFY : action)];
  });
}

function socketcallRule(call: number, action: string): SeccompRule {
  return {
    names: ['socketcall'],
    action,
    args: [{ index: 0, value: call, op: 'SCMP_CMP_EQ' }],
  };
}

/** Calls whose arguments are in memory when they come as sub-calls, where no filter looks: reported as a whole. */
function isGuarded(name: string): boolean {
  return name === SETSOCKOPT || GUARDED.some((guarded) => guarded === name);
}

function isAboutNames(name: string): boolean {
  return name === GETSOCKNAME || name === GETSOCKOPT;
}

function answerEnosys(
  profile: Seccomp,
  rules: readonly SeccompRule[],
  name: string,
): SeccompRule[] {
  const effective = rulesOf(profile, name);
  if (effective.some((rule) => !isAllowing(rule) && isUnconditional(rule))) return [...rules];
  if (!allowsByDefault(profile) && !effective.some(isAllowing)) return [...rules];
  const others = splitOut(profile, rules, name, () => []);
  if (profile.defaultAction === 'SCMP_ACT_ERRNO' && profile.defaultErrnoRet === ENOSYS)
    return others;
  return [...others, { names: [name], action: 'SCMP_ACT_ERRNO', errnoRet: ENOSYS }];
}

/** Takes `name` out of every effective allowing rule; `replace` says what comes in its place. */
function splitOut(
  profile: Seccomp,
  rules: readonly SeccompRule[],
  name: string,
  replace: (rule: SeccompRule) => SeccompRule[],
): SeccompRule[] {
  return rules.flatMap((rule) => {
    if (!rule.names.includes(name) || !isAllowing(rule) || !isEffective(profile, rule))
      return [rule];
    return [...without(rule, name), ...replace(rule)];
  });
}

/** The rule for its other names; nothing when it has none. */
function without(rule: SeccompRule, name: string): SeccompRule[] {
  const names = rule.names.filter((other) => other !== name);
  return names.length === 0 ? [] : [{ ...rule, names }];
}

/** A rule for one call with the conditions of `like`. */
function ruleFor(name: string, action: string, like: SeccompRule): SeccompRule {
  return isUnconditional(like)
    ? { names: [name], action }
    : { names: [name], action, args: like.args };
}

function rulesOf(profile: Seccomp, name: string): SeccompRule[] {
  return (profile.syscalls ?? []).filter(
    (rule) => rule.names.includes(name) && isEffective(profile, rule),
  );
}

/** Whether the runtimes do not skip the rule. */
function isEffective(profile: Seccomp, rule: SeccompRule): boolean {
  if (rule.action !== profile.defaultAction) return true;
  if (rule.action !== 'SCMP_ACT_ERRNO') return false;
  return (rule.errnoRet ?? 1) !== (profile.defaultErrnoRet ?? 1); // EPERM where none is given
}

function allowsByDefault(profile: Seccomp): boolean {
  return ALLOWING.has(profile.defaultAction);
}

function isAllowing(rule: SeccompRule): boolean {
  return ALLOWING.has(rule.action);
}

function isUnconditional(rule: SeccompRule): boolean {
  return (rule.args ?? []).length === 0;
}

function emptyProfile(machine: string): Seccomp {
  const architectures: Readonly<Record<string, string[]>> = {
    x64: ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32'],
    arm64: ['SCMP_ARCH_AARCH64', 'SCMP_ARCH_ARM'],
  };
  return {
    defaultAction: 'SCMP_ACT_ALLOW',
    architectures: architectures[machine] ?? [],
    syscalls: [],
  };
}
