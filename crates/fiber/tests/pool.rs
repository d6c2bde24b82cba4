//! The pool: stacks are used again, last in first out; the surplus gives its pages back; the numbers add up.

use verdigris_fiber::{Place, Stack, StackPool, StackSize};

const SMALL: StackSize = StackSize {
    stack: 64 << 10,
    annex: 16 << 10,
    guard: 64 << 10,
};

fn touch(stack: &Stack) {
    // SAFETY: the stack is ours and nobody is on it.
    unsafe {
        stack.top().sub(8).write_volatile(1);
        stack.lowest().write_volatile(1);
        let (annex, length) = stack.annex();
        annex.add(length - 1).write_volatile(1);
    }
}

#[test]
fn every_byte_of_every_stack_is_its_own() {
    let pool = StackPool::new(SMALL);
    let stacks: Vec<Stack> = (0..500).map(|_| pool.allocate().unwrap()).collect();
    for stack in &stacks {
        touch(stack);
        assert_eq!(stack.top() as usize % 16, 0);
        assert_eq!(stack.annex().0, stack.top());
        assert!(stack.len() >= SMALL.stack - 4096 && stack.annex().1 >= SMALL.annex);
    }
    let mut ranges: Vec<(usize, usize)> = stacks
        .iter()
        .map(|stack| (stack.lowest() as usize, stack.annex().0 as usize + stack.annex().1))
        .collect();
    ranges.sort_unstable();
    assert!(ranges.windows(2).all(|pair| pair[0].1 + SMALL.guard <= pair[1].0));
    assert_eq!(pool.statistics().in_use, 500);
    stacks.into_iter().for_each(|stack| pool.release(stack));
    let statistics = pool.statistics();
    assert_eq!(
        (statistics.in_use, statistics.warm, statistics.peak_in_use),
        (0, 500, 500)
    );
    assert!(statistics.reserved_bytes >= 500 * SMALL.stride());
}

#[test]
fn the_last_released_is_the_first_used() {
    let pool = StackPool::new(SMALL);
    let first = pool.allocate().unwrap();
    let second = pool.allocate().unwrap();
    let top = first.top();
    pool.release(second);
    pool.release(first);
    let again = pool.allocate().unwrap();
    assert_eq!(again.top(), top);
    assert_eq!(pool.statistics().reuses, 1);
    pool.release(again);
}

#[test]
fn surplus_stacks_give_their_pages_back() {
    let pool = StackPool::new(SMALL);
    pool.set_warm_limit(2);
    let stacks: Vec<Stack> = (0..5).map(|_| pool.allocate().unwrap()).collect();
    stacks.iter().for_each(touch);
    assert!(stacks.iter().all(|stack| stack.resident_bytes() >= 3 * 4096));
    stacks.into_iter().for_each(|stack| pool.release(stack));
    let statistics = pool.statistics();
    assert_eq!((statistics.warm, statistics.cold, statistics.emptied), (2, 3, 3));
    assert_eq!(pool.trim(0), 2);
    let stacks: Vec<Stack> = (0..5).map(|_| pool.allocate().unwrap()).collect();
    assert!(stacks.iter().all(|stack| stack.resident_bytes() == 0));
    stacks.into_iter().for_each(|stack| pool.release(stack));
}

#[test]
fn a_suspended_stack_gives_back_what_it_does_not_use() {
    let pool = StackPool::new(SMALL);
    let stack = pool.allocate().unwrap();
    touch(&stack);
    // SAFETY: nobody is on the stack; the byte below `top` counts as in use.
    unsafe { stack.trim(stack.top().sub(64), stack.top().add(64)) }.unwrap();
    assert_eq!(stack.resident_bytes(), 4096);
    // SAFETY: ours, see above.
    assert_eq!(unsafe { stack.top().sub(8).read() }, 1);
    // SAFETY: ours; the page was given back and reads as zero.
    assert_eq!(unsafe { stack.lowest().read() }, 0);
    pool.release(stack);
}

#[test]
fn who_has_a_stack_is_known_until_it_is_released() {
    let pool = StackPool::new(StackSize {
        stack: 256 << 10,
        ..SMALL
    });
    pool.set_crowd_size(8, SMALL);
    let mut stacks: Vec<(usize, Stack)> = (1..=20)
        .map(|owner| (owner, pool.allocate_for(owner).unwrap()))
        .collect();
    let nobody = pool.allocate().unwrap();
    let known = || {
        let (mut all, mut place) = (Vec::new(), Some(Place::default()));
        while let Some(from) = place {
            let mut some = [0; 3];
            let (count, next) = pool.owners(from, &mut some);
            all.extend_from_slice(&some[..count]);
            place = next;
        }
        all.sort_unstable();
        all
    };
    assert_eq!(known(), (1..=20).collect::<Vec<_>>());
    for index in [17, 9, 3] {
        pool.release(stacks.swap_remove(index).1);
    }
    pool.abandon(stacks.swap_remove(0).1);
    let mut left: Vec<usize> = stacks.iter().map(|(owner, _)| *owner).collect();
    left.sort_unstable();
    assert_eq!(known(), left);
    stacks.into_iter().for_each(|(_, stack)| pool.release(stack));
    pool.release(nobody);
    assert!(known().is_empty());
}

#[test]
fn free_stacks_that_nobody_needed_give_their_pages_back() {
    let pool = StackPool::new(SMALL);
    let some = |count: usize| {
        let stacks: Vec<Stack> = (0..count).map(|_| pool.allocate().unwrap()).collect();
        stacks.iter().for_each(touch);
        stacks.into_iter().for_each(|stack| pool.release(stack));
    };
    some(10);
    assert_eq!(pool.begin_period(0), 0, "all ten were in use in the period that ends");
    some(4);
    assert_eq!(pool.begin_period(7), 3);
    some(4);
    assert_eq!(pool.begin_period(0), 6);
    assert_eq!(
        (pool.empty_spare(4), pool.empty_spare(100), pool.empty_spare(1)),
        (4, 2, 0)
    );
    let statistics = pool.statistics();
    assert_eq!((statistics.warm, statistics.cold, statistics.emptied), (4, 6, 6));
    assert_eq!(statistics.peak_in_use, 10);
    assert_eq!(pool.begin_period(0), 4);
    some(4);
    assert_eq!(
        pool.empty_spare(100),
        4,
        "they are taken as they are, needed again or not"
    );
    assert_eq!(pool.begin_period(0), 0);
}

#[test]
fn a_crowd_gets_smaller_stacks() {
    let pool = StackPool::new(StackSize {
        stack: 256 << 10,
        ..SMALL
    });
    pool.set_crowd_size(16, SMALL);
    let stacks: Vec<Stack> = (0..40).map(|_| pool.allocate().unwrap()).collect();
    assert!(stacks[..16].iter().all(|stack| stack.len() > 200 << 10));
    assert!(stacks[16..].iter().all(|stack| stack.len() < 70 << 10));
    stacks.into_iter().for_each(|stack| pool.release(stack));
    assert!(pool.allocate().unwrap().len() > 200 << 10);
}

#[test]
fn a_new_size_is_for_new_stacks() {
    let pool = StackPool::new(SMALL);
    let small = pool.allocate().unwrap();
    pool.set_size(StackSize {
        stack: 256 << 10,
        ..SMALL
    });
    pool.release(small);
    let large = pool.allocate().unwrap();
    assert!(large.len() > 200 << 10);
    pool.release(large);
    assert_eq!(pool.statistics().warm, 2);
}

#[test]
fn threads_share_a_pool() {
    let pool = StackPool::new(SMALL);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for round in 0..200 {
                    let stacks: Vec<Stack> = (0..round % 7).map(|_| pool.allocate().unwrap()).collect();
                    stacks.iter().for_each(touch);
                    stacks.into_iter().for_each(|stack| pool.release(stack));
                }
            });
        }
    });
    let statistics = pool.statistics();
    assert_eq!(statistics.in_use, 0);
    assert_eq!(
        statistics.allocations,
        4 * (0..200u64).map(|round| round % 7).sum::<u64>()
    );
}

#[test]
fn a_dropped_pool_gives_its_address_space_back() {
    let lines = || {
        std::fs::read_to_string("/proc/self/maps")
            .map(|text| text.lines().count())
            .unwrap_or(0)
    };
    let one = || {
        let pool = StackPool::new(StackSize {
            stack: 8 << 20,
            ..SMALL
        });
        let stacks: Vec<Stack> = (0..40).map(|_| pool.allocate().unwrap()).collect();
        stacks.into_iter().for_each(|stack| pool.release(stack));
    };
    one();
    let before = lines();
    (0..20).for_each(|_| one());
    assert!(lines() < before + 20);
}
