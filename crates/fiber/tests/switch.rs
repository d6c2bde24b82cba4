//! Attacks on the switch: thousands of fibers in random order against a model, deep stacks, registers, rounding modes.

use std::cell::{Cell, RefCell};

use verdigris_fiber::{Context, Departure, Entry, Stack, StackPool, StackSize, prepare, switch};

/// A scheduler small enough to be a model: fibers by number, number 0 is the test's own stack.
struct World {
    contexts: RefCell<Vec<Context>>,
    current: Cell<usize>,
    finished: Cell<Option<usize>>,
}

thread_local! {
    static WORLD: World = const { World { contexts: RefCell::new(Vec::new()), current: Cell::new(0), finished: Cell::new(None) } };
}

fn go(target: usize, value: usize) -> usize {
    let (save, to) = WORLD.with(|world| {
        let mut contexts = world.contexts.borrow_mut();
        let origin = world.current.replace(target);
        (&raw mut contexts[origin], contexts[target])
    });
    // SAFETY: `to` was prepared or saved, is not running, and `contexts` is not resized while fibers run.
    unsafe { switch(save, to, value) }
}

/// The end of the fiber that runs: where `go` would lead.
fn end(target: usize, value: usize) -> Departure {
    WORLD.with(|world| {
        world.current.set(target);
        let to = world.contexts.borrow()[target];
        Departure { to, value }
    })
}

fn start(stack: &Stack, entry: Entry) {
    // SAFETY: the test keeps the stack until the fiber is done with.
    let context = unsafe { prepare(stack, entry) };
    WORLD.with(|world| world.contexts.borrow_mut().push(context));
}

fn reset() {
    WORLD.with(|world| {
        *world.contexts.borrow_mut() = vec![Context::NULL];
        world.current.set(0);
    });
}

/// Reproducible numbers (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// Keeps many values alive over a switch, at a random depth, and checks them after it.
#[inline(never)]
fn carry(depth: usize, fiber: usize, step: usize, target: usize, value: usize) -> usize {
    let mut local = [0usize; 24];
    for (index, slot) in local.iter_mut().enumerate() {
        *slot = fiber * 1_000_003 + step * 97 + index + depth;
    }
    let floats = [fiber as f64 * 1.5, step as f64 / 3.0, depth as f64];
    std::hint::black_box(&mut local);
    let result = if depth > 0 {
        carry(depth - 1, fiber, step, target, value)
    } else {
        go(target, value)
    };
    for (index, slot) in local.iter().enumerate() {
        assert_eq!(*slot, fiber * 1_000_003 + step * 97 + index + depth);
    }
    assert_eq!(floats, [fiber as f64 * 1.5, step as f64 / 3.0, depth as f64]);
    result
}

const FIBERS: usize = 3000;
const STEPS: usize = 200_000;

thread_local! {
    static PLAN: RefCell<Random> = const { RefCell::new(Random(0)) };
    static EXPECTED: Cell<usize> = const { Cell::new(0) };
    static LEFT: Cell<usize> = const { Cell::new(0) };
    static VISITS: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

unsafe extern "C-unwind" fn wanderer(value: usize) -> Departure {
    wander(value);
    unreachable!("a wanderer ended")
}

fn wander(first: usize) {
    let fiber = WORLD.with(|world| world.current.get());
    let mut value = first;
    loop {
        assert_eq!(value, EXPECTED.get(), "a value went astray");
        assert_eq!(WORLD.with(|world| world.current.get()), fiber, "somebody else's stack");
        VISITS.with_borrow_mut(|visits| visits[fiber] += 1);
        let left = LEFT.get();
        if left == 0 {
            if fiber == 0 {
                return;
            }
            EXPECTED.set(usize::MAX);
            value = go(0, usize::MAX);
            continue;
        }
        LEFT.set(left - 1);
        let (target, depth, next) = PLAN.with_borrow_mut(|random| {
            let mut target = random.below(FIBERS + 1);
            if target == fiber {
                target = (target + 1) % (FIBERS + 1);
            }
            (target, random.below(20), random.next() as usize)
        });
        EXPECTED.set(next);
        value = carry(depth, fiber, left, target, next);
    }
}

#[test]
fn thousands_of_fibers_in_random_order() {
    for seed in 1..=3u64 {
        reset();
        PLAN.with_borrow_mut(|random| random.0 = seed);
        LEFT.set(STEPS);
        EXPECTED.set(0);
        VISITS.with_borrow_mut(|visits| *visits = vec![0; FIBERS + 1]);
        let pool = StackPool::new(StackSize {
            stack: 64 << 10,
            annex: 16 << 10,
            guard: 64 << 10,
        });
        let stacks: Vec<Stack> = (0..FIBERS).map(|_| pool.allocate().unwrap()).collect();
        for stack in &stacks {
            start(stack, wanderer);
        }
        wander(0);
        // The model: the same plan, followed without stacks.
        let mut model = Random(seed);
        let mut visits = vec![0; FIBERS + 1];
        let mut at = 0;
        visits[0] += 1;
        for _ in 0..STEPS {
            let mut target = model.below(FIBERS + 1);
            if target == at {
                target = (target + 1) % (FIBERS + 1);
            }
            model.below(20);
            model.next();
            at = target;
            visits[at] += 1;
        }
        if at != 0 {
            visits[0] += 1;
        }
        VISITS.with_borrow(|seen| assert_eq!(*seen, visits));
        for stack in stacks {
            pool.release(stack);
        }
    }
}

unsafe extern "C-unwind" fn deep(value: usize) -> Departure {
    #[inline(never)]
    fn descend(left: usize) -> usize {
        let mut pad = [left as u8; 512];
        std::hint::black_box(&mut pad);
        if left == 0 {
            return go(0, 1);
        }
        descend(left - 1) + usize::from(pad[511])
    }
    let sum = descend(value);
    end(0, sum)
}

unsafe extern "C-unwind" fn relays(value: usize) -> Departure {
    let own = WORLD.with(|world| world.current.get());
    end(if own == FIBERS { 0 } else { own + 1 }, value + own)
}

/// One that ends may go to one that begins: each on a stack that the one before has just left for ever.
#[test]
fn an_end_leads_to_a_beginning() {
    reset();
    let pool = StackPool::new(StackSize {
        stack: 64 << 10,
        annex: 16 << 10,
        guard: 64 << 10,
    });
    let stacks: Vec<Stack> = (0..FIBERS).map(|_| pool.allocate().unwrap()).collect();
    for stack in &stacks {
        start(stack, relays);
    }
    assert_eq!(go(1, 7), 7 + FIBERS * (FIBERS + 1) / 2);
    for stack in stacks {
        pool.release(stack);
    }
}

#[test]
fn a_deep_stack_keeps_its_contents() {
    reset();
    let pool = StackPool::new(StackSize {
        stack: 1 << 20,
        ..StackSize::default()
    });
    let stack = pool.allocate().unwrap();
    start(&stack, deep);
    assert_eq!(go(1, 1000), 1);
    let expected: usize = (1..=1000usize).map(|left| usize::from(left as u8)).sum::<usize>() + 7;
    assert_eq!(go(1, 7), expected);
    assert!(stack.resident_bytes() > 512 * 1000);
    pool.release(stack);
}

#[cfg(target_arch = "x86_64")]
mod control_words {
    use super::*;
    use std::arch::asm;

    fn mxcsr() -> u32 {
        let mut value = 0u32;
        // SAFETY: stores the register in a variable.
        unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut value) };
        value
    }

    fn set_mxcsr(value: u32) {
        // SAFETY: the test sets a rounding mode and puts it back.
        unsafe { asm!("ldmxcsr [{}]", in(reg) &raw const value) };
    }

    fn x87() -> u16 {
        let mut value = 0u16;
        // SAFETY: stores the register in a variable.
        unsafe { asm!("fnstcw [{}]", in(reg) &raw mut value) };
        value
    }

    fn set_x87(value: u16) {
        // SAFETY: the test sets a rounding mode and puts it back.
        unsafe { asm!("fldcw [{}]", in(reg) &raw const value) };
    }

    unsafe extern "C-unwind" fn rounds_down(_value: usize) -> Departure {
        set_mxcsr(mxcsr() | 0x2000);
        set_x87(x87() | 0x400);
        loop {
            assert_eq!((mxcsr() & 0x6000, x87() & 0xc00), (0x2000, 0x400));
            go(0, 0);
        }
    }

    unsafe extern "C-unwind" fn ends_rounding_down(value: usize) -> Departure {
        set_mxcsr(mxcsr() | 0x2000);
        set_x87(x87() | 0x400);
        end(0, value)
    }

    #[test]
    fn a_rounding_mode_ends_with_its_fiber() {
        reset();
        let before = (mxcsr() & 0x6000, x87());
        let pool = StackPool::new(StackSize::default());
        let stack = pool.allocate().unwrap();
        start(&stack, ends_rounding_down);
        assert_eq!(go(1, 3), 3);
        assert_eq!((mxcsr() & 0x6000, x87()), before);
        pool.release(stack);
    }

    #[test]
    fn rounding_modes_belong_to_the_fiber() {
        reset();
        let before = (mxcsr() & 0x6000, x87());
        let pool = StackPool::new(StackSize::default());
        let stack = pool.allocate().unwrap();
        start(&stack, rounds_down);
        for _ in 0..3 {
            go(1, 0);
            assert_eq!((mxcsr() & 0x6000, x87()), before);
        }
        pool.release(stack);
    }
}

unsafe extern "C-unwind" fn panics(_value: usize) -> Departure {
    let caught = std::panic::catch_unwind(|| panic!("on a fiber"));
    end(0, usize::from(caught.is_err()))
}

#[test]
fn a_panic_unwinds_within_its_fiber() {
    reset();
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let pool = StackPool::new(StackSize::default());
    let stack = pool.allocate().unwrap();
    start(&stack, panics);
    assert_eq!(go(1, 0), 1);
    std::panic::set_hook(hook);
    pool.release(stack);
}

unsafe extern "C-unwind" fn backtraces(_value: usize) -> Departure {
    let text = std::backtrace::Backtrace::force_capture().to_string();
    assert!(text.contains("backtraces"), "{text}");
    assert!(!text.contains("a_backtrace_ends_at_the_entry"), "{text}");
    WORLD.with(|world| world.finished.set(Some(text.len())));
    end(0, 0)
}

#[test]
fn a_backtrace_ends_at_the_entry() {
    reset();
    let pool = StackPool::new(StackSize::default());
    let stack = pool.allocate().unwrap();
    start(&stack, backtraces);
    go(1, 0);
    assert!(WORLD.with(|world| world.finished.take()).is_some());
    pool.release(stack);
}
