package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// program is how a program is started that listens on an address and has an upstream.
type program func(ctx context.Context, address, upstream string) *exec.Cmd

// with is the program with further variables in its environment.
func (p program) with(environ ...string) program {
	return func(ctx context.Context, address, upstream string) *exec.Cmd {
		command := p(ctx, address, upstream)
		command.Env = append(command.Env, environ...)
		return command
	}
}

// process is a running program; nil is none, which uses nothing.
type process struct {
	pid     int
	stop    func()
	started time.Duration // until it took connections
}

// adapterGC is GOGC for every program written in Go: the adapter sets it for itself, so that
// its peers must have it too.
const adapterGC = "GOGC=300"

// start runs a program and waits until it takes connections on an address.
func start(ctx context.Context, address string, command *exec.Cmd) (*process, error) {
	command.Env = append(append(os.Environ(), adapterGC), command.Env...)
	output, err := os.CreateTemp("", "bench-*.log")
	if err != nil {
		return nil, err
	}
	defer func() { _ = output.Close() }()
	command.Stdout, command.Stderr = output, output
	begin := time.Now()
	if err := command.Start(); err != nil {
		return nil, err
	}
	stop := func() {
		_ = command.Process.Kill()
		_ = command.Wait()
		_ = os.Remove(output.Name())
	}
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err == nil {
			_ = conn.Close()
			return &process{command.Process.Pid, stop, time.Since(begin)}, nil
		}
		if time.Since(begin) > 10*time.Second {
			said, _ := os.ReadFile(output.Name())
			stop()
			return nil, fmt.Errorf("%s does not take connections on %s: %s", command.Path, address, said)
		}
		time.Sleep(time.Millisecond)
	}
}

// cpu is the CPU time that the process has used, to the nanosecond.
func (p *process) cpu() (time.Duration, error) {
	if p == nil {
		return 0, nil
	}
	var used unix.Timespec
	err := unix.ClockGettime(int32(^p.pid<<3|2), &used) //nolint:gosec // a process's CPU clock: clock_getcpuclockid(3)
	return time.Duration(used.Nano()), err
}

// memory is the process's resident memory, in MiB.
func (p *process) memory() (float64, error) {
	if p == nil {
		return 0, nil
	}
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.pid))
	if err != nil {
		return 0, err
	}
	pages, err := strconv.ParseFloat(strings.Fields(string(content))[1], 64)
	return pages * float64(os.Getpagesize()) / (1 << 20), err
}

// clockTick is the unit of CPU times in /proc/stat (proc(5), USER_HZ).
const clockTick = 10 * time.Millisecond

// machineCPU is the CPU time that was used by anybody, the hypervisor's other guests
// included.
func machineCPU() (time.Duration, error) {
	content, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(content), "\n")
	const user, system, irq, steal = 1, 3, 6, 8 // proc(5); idle and iowait are between
	fields := strings.Fields(first)
	if len(fields) <= steal {
		return 0, errors.New("/proc/stat is too short")
	}
	var sum time.Duration
	for _, field := range append(fields[user:system+1:system+1], fields[irq:steal+1]...) {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, err
		}
		sum += time.Duration(n) * clockTick
	}
	return sum, nil
}

// freeAddress is an address on which nobody listens, and which no connection that is made
// meanwhile can take: below the ports that Linux gives to those.
func freeAddress(ctx context.Context) (string, error) {
	const lowest, ports, tries = 20000, 12000, 100
	var failed error
	for range tries {
		address := fmt.Sprintf("127.0.0.1:%d", lowest+rand.IntN(ports)) //nolint:gosec // not a secret
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
		if err == nil {
			return address, listener.Close()
		}
		failed = err
	}
	return "", failed
}
