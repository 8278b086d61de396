"""The ring of duties and who executes them, each at its time on the board's clock.

Nothing is allocated while it plays. Units: `song` is a position in the song, ms; `now` the
board's clock, ms; an index counts duties from the beginning of the song.
"""

from array import array

from micropython import const
from robot.fast import add_crc, copy, duty_start, record_digest, u32
from robot.wire import (
    DUTY_BYTES,
    ENDED,
    FIELD,
    FILLING,
    FINISHED,
    FULL,
    GAP,
    HAS_END,
    KEEP,
    LIMIT,
    LOG_BYTES,
    NO_BUDGET,
    NO_CART,
    OK,
    PAUSED,
    PLAYED,
    PLAYING,
    READY,
    SILENT,
    UNDERRUN,
    WAS_LATE,
    ticks_gap,
)

_LONG = const(100000)  # ms, when nothing is due


class Player:
    """One song.

    Attributes:
        state: READY, FILLING, PLAYING or PAUSED of `wire`.
        song: Its number, 0 for none.
        next: Index of the first duty not received.
        executed: Index of the first duty not begun.
        flags: HAS_END, UNDERRUN, SILENT and FINISHED of `wire`.
        gain: Share of the duties' volumes that is blown, percent.
        ring: The duties, each at its index modulo `size`.
        last_start: Start of the last duty received.
        late: Most lateness since the song or a seek began, 10 us.
        skipped: Duties kept in time but not pressed.
    """

    def __init__(self, config, clock, fingers, air, cart, journal):
        self.state, self.flags, self.gain = READY, 0, 100
        self.song = self.next = self.executed = self.late = self.skipped = 0
        self.size, self.log_size = config.RING, config.LOG
        self.ring = bytearray(config.RING * DUTY_BYTES)
        self._log = bytearray(config.LOG * LOG_BYTES)
        self._digest = array("H", (0xFFFF, 0xFFFF))
        self._index = bytearray(4)
        self._clock, self._fingers, self._air, self._cart = clock, fingers, air, cart
        self._journal = journal
        self._late_most, self._arrival = config.LATE_MS, config.ARRIVAL_MS
        self._base = self.last_start = 0
        self._at = self._song_at = 0  # the song clock: both sound together
        self._due = self._release = self._volume = 0
        self._is_holding = self._is_resuming = False
        self._held = self._held_volume = self._held_until = 0

    # --- what the host asks for

    def begin(self, song, base):
        """Empty the ring for a song, whose first duty is `base`; the clock stands."""
        self._quieten()
        self.song, self.state, self.flags = song, FILLING, 0
        self._base = self.next = self.executed = base
        self.late = self.skipped = self.last_start = 0
        self._at = self._song_at = self._held_until = 0
        self._is_holding = self._is_resuming = False
        self._digest[0] = self._digest[1] = 0xFFFF
        self._journal.open(song, base)

    def stop(self):
        """Forget the song; fingers home, air off."""
        self._quieten()
        self.state, self.song, self.flags = READY, 0, 0
        self._base = self.next = self.executed
        self._is_holding = self._is_resuming = False
        self._journal.close()

    def take(self, body, at, first, count):
        """Put duties into the ring.

        Args:
            body: Where they are.
            at: Where the first begins.
            first: Its index.
            count: How many; none marks the end.

        Returns:
            A result of `wire`; `next` tells what was taken.
        """
        if first > self.next:
            return GAP
        if self.flags & HAS_END:
            return OK if first + count <= self.next else ENDED
        if not count:
            if first == self.next:
                self.flags |= HAS_END
            return OK
        for i in range(self.next - first, count):
            if self.next - self.executed >= self.size:
                return FULL
            place = at + i * DUTY_BYTES
            start = duty_start(body, place)
            if start < self.last_start:
                return FIELD
            self.put(body, place, start)
        return OK

    def put(self, body, at, start):
        """Put one duty into the ring, which has room."""
        copy(body, at, self.ring, self.next % self.size * DUTY_BYTES, DUTY_BYTES)
        self.last_start = start
        self.next += 1
        if self.next == self.executed + 1:
            self._plan()
            if self.state == FILLING and self.executed == self._base:
                self._cart.go(self._cart_of(self._base), self._clock.millis)

    def waiting(self, count):
        """Return the place in the ring of a duty that is not received yet; -1 without room."""
        if self.next + count - self.executed >= self.size:
            return -1
        return (self.next + count) % self.size * DUTY_BYTES

    def goal(self):
        """Return where the cart is to be after all that was received."""
        return self._cart_of(self.next - 1) if self.next > self.executed else self._cart.goal

    def first_start(self):
        """Return where in the song the next duty starts."""
        return self._start_of(self.executed)

    def start(self, at, song):
        """Let song position `song` sound at `at`; a pause goes on when it stood there."""
        if self.state == PAUSED and self._held_until > song and self._song_at == song:
            self._is_resuming = True
        self._at, self._song_at = at, song
        self.state = PLAYING
        self.flags &= ~(SILENT | UNDERRUN)
        self._cart.is_held = True
        self._plan()

    def shift(self, at, song):
        """Return by how many ms a start would move the clock that runs."""
        return ticks_gap(at, self._at) - (song - self._song_at)

    def pause(self, flag=0):
        """Stop the clock; fingers home, air off; the ring stays."""
        song = self.position()
        if self._is_holding:
            self._held, self._held_volume = self._fingers.now, self._air.volume
            self._held_until = song + ticks_gap(self._release, self._clock.millis)
        elif not self._is_resuming:
            self._held_until = 0
        self._is_holding = self._is_resuming = False
        self._song_at = song
        self.state = PAUSED
        self.flags |= flag
        self._quieten()

    def position(self):
        """Return where the song is."""
        if self.state != PLAYING:
            return self._song_at
        gone = ticks_gap(self._clock.millis, self._at)
        return max(self._song_at + gone, 0) if gone > -self._song_at else 0

    # --- what the log and the answers tell

    def first_logged(self, asked):
        """Return the first index from `asked` on that the log still has."""
        oldest = max(self._base, self.executed - self.log_size)
        return min(max(asked, oldest), self.executed)

    def copy_log(self, index, to, place):
        """Copy the entry of a duty."""
        copy(self._log, index % self.log_size * LOG_BYTES, to, place, LOG_BYTES)

    def digest(self):
        """Return the lower 30 bits of `wire.order_digest` of what was executed."""
        return (self._digest[1] ^ 0xFFFF) << 16 & LIMIT | self._digest[0] ^ 0xFFFF

    # --- playing

    def slack(self):
        """Return for how many ms nothing is due; less than 0 when something is late."""
        if self.state != PLAYING:
            return _LONG
        now = self._clock.millis
        slack = _LONG
        if self.executed < self.next:
            slack = ticks_gap(self._due, now)
        if self._is_holding:
            slack = min(slack, ticks_gap(self._release, now))
        if self._is_resuming:
            slack = min(slack, ticks_gap(self._at, now))
        return slack

    def tick(self):
        """Do what is due: at most one duty."""
        if self.state != PLAYING:
            return
        now = self._clock.millis
        if self._is_resuming and ticks_gap(now, self._at) >= 0:
            self._resume(now)
        if self.executed < self.next:
            if ticks_gap(now, self._due) >= 0:
                self._execute(now)
            elif self._is_holding and ticks_gap(now, self._release) >= 0:
                self._let_go(now)
        elif not self._is_holding or ticks_gap(now, self._release) >= 0:
            if self._is_holding:
                self._let_go(now)
            self._run_out()

    def _execute(self, now):
        index = self.executed
        ring, at = self.ring, index % self.size * DUTY_BYTES
        self._journal.begin(index)
        self.executed = index + 1
        self._is_resuming = False
        fingers = ring[at + 6] | ring[at + 7] << 8
        late = ticks_gap(now, self._due) * 100 + self._clock.micros // 10
        outcome = self._press(fingers, ring[at + 8], late, now)
        if ring[at + 9] != KEEP:
            self._volume = ring[at + 9]
        self._blow(now)
        self._release = self._due + (ring[at + 4] | ring[at + 5] << 8) & LIMIT
        self._is_holding = True
        self._note(index, late, outcome)
        self._journal.done(index)
        self.flags &= ~UNDERRUN
        self._plan()

    def _press(self, fingers, cart, late, now):
        """Bring fingers and cart to where a duty wants them; return the outcome."""
        outcome = PLAYED
        if cart != self._cart.goal:
            self._fingers.press(0, now)
            self._cart.go(cart, now)
        if not fingers:
            self._fingers.press(0, now)
        elif self._cart.left(now) > self._arrival:
            outcome = NO_CART
        elif late > self._late_most * 100:
            outcome = WAS_LATE
        elif not self._fingers.press(fingers, now):
            outcome = NO_BUDGET
        if outcome == NO_CART or outcome == WAS_LATE:
            self._fingers.press(0, now)
        if outcome != PLAYED:
            self.skipped = self.skipped + 1 & 0xFFFF
        return outcome

    def _note(self, index, late, outcome):
        """Write a duty into the log, and into the digest of all."""
        late = min(late, 65535)
        self.late = max(late, self.late)
        at, log = index % self.log_size * LOG_BYTES, self._log
        place = index % self.size * DUTY_BYTES
        digest = record_digest(self.ring, place)
        log[at], log[at + 1] = late & 255, late >> 8
        log[at + 2], log[at + 3] = outcome, self._cart.goal
        log[at + 4], log[at + 5] = self._fingers.now & 255, self._fingers.now >> 8
        log[at + 6], log[at + 7] = digest & 255, digest >> 8
        for i in range(4):
            self._index[i] = index >> 8 * i & 255
        add_crc(self._digest, self._index, 0, 4)
        add_crc(self._digest, self.ring, place, DUTY_BYTES)

    def _blow(self, now):
        self._air.set(min(self._volume * self.gain // 100, 100), now)

    def set_gain(self, gain):
        """Change the gain of what sounds and will sound."""
        self.gain = gain
        if self.state == PLAYING:
            self._blow(self._clock.millis)

    def _let_go(self, now):
        self._fingers.press(0, now)
        self._is_holding = False

    def _resume(self, now):
        """Press again what a pause interrupted."""
        self._is_resuming = False
        self._fingers.press(self._held, now)
        self._air.set(self._held_volume, now)
        self._release = self._at + self._held_until - self._song_at & LIMIT
        self._is_holding = True

    def _run_out(self):
        """The ring is empty: the song is over, or the host is too slow."""
        if not self.flags & HAS_END:
            self.flags |= UNDERRUN
            return
        self._song_at = self.position()
        self._quieten()
        self.state = READY
        self.flags |= FINISHED
        self._journal.close()

    def _plan(self):
        """Work out when the next duty is due."""
        if self.executed < self.next:
            self._due = self._at + (self._start_of(self.executed) - self._song_at) & LIMIT

    def _start_of(self, index):
        return u32(self.ring, index % self.size * DUTY_BYTES)

    def _cart_of(self, index):
        return self.ring[index % self.size * DUTY_BYTES + 8]

    def _quieten(self):
        now = self._clock.millis
        self._fingers.press(0, now)
        self._air.set(0, now)
        self._cart.is_held = False
