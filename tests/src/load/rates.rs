//! Figures that are rates: each side measured in turn, several rounds, so that noise hits both.

use super::generator::{self, Drivers, Figure};
use super::options::Options;
use super::report::{self, Bound, Row};
use super::target::{Operation, Target};
use super::{hashing, progress};

const CONNECTIONS: [usize; 3] = [1, 16, 64];
const STORM_LOGINS: usize = 16;
const STORM_READERS: usize = 4;

/// Requests of one kind to one target, ready to run again and again.
struct Lane<'a> {
    target: &'a Target,
    drivers: Drivers,
}

impl<'a> Lane<'a> {
    async fn new(target: &'a Target, operation: Operation, connections: usize, each: usize) -> Self {
        Self { target, drivers: target.drivers(operation, connections, each).await }
    }

    async fn round(&mut self, options: &Options) -> Figure {
        let drivers = std::mem::take(&mut self.drivers);
        let (drivers, figure) =
            generator::run(self.target.address(), drivers, options.warm, options.time).await;
        self.drivers = drivers;
        figure
    }
}

/// The rounds of a figure and of its ceiling.
#[derive(Default)]
struct Pair {
    total: Figure,
    ours: Vec<f64>,
    ceiling: Vec<f64>,
}

impl Pair {
    fn push(&mut self, ours: Figure, ceiling: f64) {
        self.ours.push(ours.rate());
        self.ceiling.push(ceiling);
        self.total.add(ours);
    }

    fn row(self, operation: &str, connections: usize, engine: &'static str, ceiling: &'static str) -> Row {
        let ratios: Vec<f64> = self.ours.iter().zip(&self.ceiling).map(|(a, b)| a / b).collect();
        let low = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        let high = ratios.iter().copied().fold(0.0, f64::max);
        let (ours, beside) = (mean(&self.ours), mean(&self.ceiling));
        Row {
            operation: operation.into(),
            connections: Some(connections),
            engine,
            figure: ours,
            unit: "/s",
            p50: self.total.percentile(50.0),
            p99: self.total.percentile(99.0),
            ceiling: Some((beside, ceiling)),
            ratio: Some(ours / beside),
            spread: Some((low, high)),
            bounds: Vec::new(),
            errors: self.total.errors,
        }
    }
}

/// `me`, refresh, login and sign-up at each number of connections.
pub(crate) async fn operations(options: &Options, server: &Target, skeleton: &Target, rows: &mut Vec<Row>) {
    let engine = server.store.backend().name();
    let operations =
        [Operation::Me, Operation::Refresh, Operation::Login, Operation::NewDevice, Operation::SignUp];
    for operation in operations {
        if !options.wants(operation.part()) {
            continue;
        }
        for connections in CONNECTIONS {
            progress(&format!("{engine}: {} at {connections}", operation.name()));
            let mut row = match operation {
                Operation::Login | Operation::NewDevice | Operation::SignUp => {
                    let mut lane = Lane::new(server, operation, connections, 1).await;
                    against_hashing(options, &mut lane, connections).await.row(
                        operation.name(),
                        connections,
                        engine,
                        "bare hash",
                    )
                }
                _ => {
                    let mut ours = Lane::new(server, operation, connections, 1).await;
                    let mut theirs = Lane::new(skeleton, operation, connections, 1).await;
                    let pair = beside(options, &mut ours, &mut theirs).await;
                    pair.row(operation.name(), connections, engine, "skeleton")
                }
            };
            row.bounds = targets(operation, connections, engine);
            report::push(rows, row);
        }
    }
}

fn targets(operation: Operation, connections: usize, engine: &str) -> Vec<Bound> {
    match (operation, connections, engine) {
        (Operation::Me, 16, _) => vec![Bound::Ratio(0.80)],
        // Rotations share commits there; the skeleton commits each.
        (Operation::Refresh, 16, "sqlite") => vec![Bound::Ratio(2.0), Bound::P99(10.0)],
        (Operation::Refresh, 16, _) => vec![Bound::Ratio(0.75), Bound::P99(10.0)],
        // At most 1.10 of the time of a hash.
        (Operation::Login, 1, _) => vec![Bound::Ratio(1.0 / 1.10)],
        (Operation::Login, 16, _) => vec![Bound::Ratio(0.90)],
        _ => Vec::new(),
    }
}

/// The bare answer of the skeleton, which nothing is held against.
pub(crate) async fn bare(options: &Options, skeleton: &Target, rows: &mut Vec<Row>) {
    for connections in CONNECTIONS {
        progress(&format!("bare answer at {connections}"));
        let mut lane = Lane::new(skeleton, Operation::Bare, connections, 1).await;
        let figure = lane.round(options).await;
        report::push(
            rows,
            Row {
                operation: Operation::Bare.name().into(),
                connections: Some(connections),
                engine: "none",
                figure: figure.rate(),
                unit: "/s",
                p50: figure.percentile(50.0),
                p99: figure.percentile(99.0),
                errors: figure.errors,
                ..Row::default()
            },
        );
    }
}

/// A route of an embedding application that only needs to know who calls, beside the bare answer.
pub(crate) async fn authenticated(
    options: &Options,
    embedded: &Target,
    skeleton: &Target,
    rows: &mut Vec<Row>,
) {
    let engine = embedded.store.backend().name();
    for connections in CONNECTIONS {
        progress(&format!("{engine}: authenticated at {connections}"));
        let mut ours = Lane::new(embedded, Operation::Authenticated, connections, 1).await;
        let mut theirs = Lane::new(skeleton, Operation::Bare, connections, 1).await;
        let pair = beside(options, &mut ours, &mut theirs).await;
        let mut row = pair.row("only Authenticated", connections, engine, "bare answer");
        row.bounds = if connections == 16 { vec![Bound::Ratio(0.50)] } else { Vec::new() };
        report::push(rows, row);
    }
}

/// `me`, refresh and login with limits beside the same without.
pub(crate) async fn limits(options: &Options, with: &Target, without: &Target, rows: &mut Vec<Row>) {
    let engine = with.store.backend().name();
    for operation in [Operation::Me, Operation::Refresh, Operation::Login] {
        progress(&format!("{engine}: {} with limits and without", operation.name()));
        let mut ours = Lane::new(with, operation, 16, 4).await;
        let mut theirs = Lane::new(without, operation, 16, 4).await;
        let pair = beside(options, &mut ours, &mut theirs).await;
        let name = format!("{}, limits on", operation.name());
        report::push(rows, pair.row(&name, 16, engine, "limits off"));
    }
}

/// `me` while others sign in without pause, on either side.
pub(crate) async fn storm(options: &Options, server: &Target, skeleton: &Target, rows: &mut Vec<Row>) {
    let engine = server.store.backend().name();
    progress(&format!("{engine}: me during a login storm"));
    let mut pair = Pair::default();
    let mut sides = [
        (
            Lane::new(server, Operation::Me, STORM_READERS, 1).await,
            Lane::new(server, Operation::Login, STORM_LOGINS, 1).await,
        ),
        (
            Lane::new(skeleton, Operation::Me, STORM_READERS, 1).await,
            Lane::new(skeleton, Operation::Login, STORM_LOGINS, 1).await,
        ),
    ];
    for round in 0..options.rounds {
        let mut figures = [Figure::default(), Figure::default()];
        for side in order(round) {
            let (readers, logins) = &mut sides[side];
            let (figure, storm) = tokio::join!(readers.round(options), logins.round(options));
            assert!(storm.rate() > 1.0, "no storm: nobody could sign in: {:?}", storm.errors);
            figures[side] = figure;
        }
        let [ours, theirs] = figures;
        pair.push(ours, theirs.rate());
    }
    let mut row = pair.row("me while 16 log in", STORM_READERS, engine, "skeleton");
    row.bounds = vec![Bound::Ratio(0.80), Bound::P99(25.0)];
    report::push(rows, row);
}

/// The same operations on a small and on a large store.
pub(crate) async fn growth(options: &Options, small: &Target, large: &Target, rows: &mut Vec<Row>) {
    let engine = small.store.backend().name();
    // Many accounts, so that the rows asked for are spread over the large tables.
    let each = if options.quick { 4 } else { 16 };
    for operation in [Operation::Me, Operation::Refresh, Operation::Login] {
        progress(&format!("{engine}: {} with {} accounts", operation.name(), options.accounts));
        let mut ours = Lane::new(large, operation, 16, each).await;
        let mut theirs = Lane::new(small, operation, 16, each).await;
        let pair = beside(options, &mut ours, &mut theirs).await;
        let name = format!("{}, {} accounts", operation.name(), options.accounts);
        let mut row = pair.row(&name, 16, engine, "with 1,000");
        row.bounds = vec![Bound::Ratio(0.90)];
        report::push(rows, row);
    }
}

async fn beside(options: &Options, ours: &mut Lane<'_>, theirs: &mut Lane<'_>) -> Pair {
    let mut pair = Pair::default();
    for round in 0..options.rounds {
        let (mut a, mut b) = (Figure::default(), Figure::default());
        for side in order(round) {
            if side == 0 {
                a = ours.round(options).await;
            } else {
                b = theirs.round(options).await;
            }
        }
        assert!(b.rate() > 0.0, "the ceiling could not be measured: {:?}", b.errors);
        pair.push(a, b.rate());
    }
    pair
}

async fn against_hashing(options: &Options, lane: &mut Lane<'_>, connections: usize) -> Pair {
    let threads = connections.min(hashing::cores());
    let mut pair = Pair::default();
    for round in 0..options.rounds {
        let (mut ours, mut hash) = (Figure::default(), 0.0);
        for side in order(round) {
            if side == 0 {
                ours = lane.round(options).await;
            } else {
                hash = hashing::bare_rate(threads, options.time);
            }
        }
        pair.push(ours, hash);
    }
    pair
}

/// A B, B A, A B …: a drift of the machine favours neither.
fn order(round: usize) -> [usize; 2] {
    if round.is_multiple_of(2) { [0, 1] } else { [1, 0] }
}

fn mean(rates: &[f64]) -> f64 {
    rates.iter().sum::<f64>() / u32::try_from(rates.len()).map_or(1.0, f64::from)
}
