//! Where rows go, and what the files look like to any reader.

use arrow::array::{AsArray, Int32Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Int64Type};
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::basic::{Compression, Encoding, Type};
use parquet::file::metadata::PageIndexPolicy;
use proptest::prelude::*;
use std::sync::Arc;
use tempfile::TempDir;

use super::gather::Gather;
use super::layout::ROW_GROUP_ROWS;
use super::{SegmentScan, Shape, Target, order, write};
use crate::buffer;
use crate::table::{SEGMENTS, SPANS, Table};
use crate::tests::rows::{DAY_START, batch, labels, span_ids, spans, spans_at};
use model::{Repairs, UnixNanos};

/// Spans with these start times, arrival times and repairs.
fn times(rows: &[(i64, i64, Repairs)]) -> RecordBatch {
    let int64 = |values: Vec<i64>| Arc::new(Int64Array::from(values)) as arrow::array::ArrayRef;
    let batch = batch(&SPANS, rows.len(), |column| match column.name {
        "start_time" => Some(int64(rows.iter().map(|row| row.0).collect())),
        "arrival_time" => Some(int64(rows.iter().map(|row| row.1).collect())),
        "repairs" => Some(Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.2.bits())))),
        _ => None,
    });
    batch.records().clone()
}

/// A bad clock does not choose the partition: arrival does.
#[test]
fn v6_rows_of_bad_clocks_are_filed_by_arrival() {
    const DAY: i64 = UnixNanos::DAY;
    let noon = DAY_START + DAY / 2;
    let rows = times(&[
        (noon, noon, Repairs::NONE),
        (noon - 3 * DAY, noon, Repairs::NONE),
        (noon + DAY, noon, Repairs::NONE),
        (noon + DAY, noon, Repairs::CLOCK_SKEW),
        (noon + 2 * DAY, noon, Repairs::NONE),
        (i64::MAX, noon, Repairs::NONE),
        (i64::MIN, noon, Repairs::NONE),
        (noon - 40 * DAY, noon, Repairs::NONE),
    ]);
    let days = order::by_day(&SPANS, &[&rows], 30);
    let today = 20_777;
    let found: Vec<(i32, Vec<usize>)> = days
        .into_iter()
        .map(|day| {
            let mut rows: Vec<usize> = day.places.into_iter().map(|(_, row)| row).collect();
            rows.sort_unstable();
            (day.day, rows)
        })
        .collect();
    assert_eq!(found, [(today - 3, vec![1]), (today, vec![0, 3, 4, 5, 6, 7]), (today + 1, vec![2])]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Every row comes out once, with all its values, sorted by service and time.
    #[test]
    fn gathering_sorts_and_loses_nothing(sizes in proptest::collection::vec(1u64..40, 1..8)) {
        let mut next = 0;
        let batches: Vec<RecordBatch> = sizes
            .iter()
            .map(|size| {
                next += size;
                // Later batches lie earlier in time.
                spans_at(next - size..next, DAY_START + 3_600_000_000_000 - next as i64 * 5_000_000).records().clone()
            })
            .collect();
        let batches: Vec<&RecordBatch> = batches.iter().collect();
        let days = order::by_day(&SPANS, &batches, 30);
        prop_assert_eq!(days.len(), 1);
        let sorted = Gather::new(&SPANS.schema(), &batches).take(&days[0].places).expect("small");
        let mut ids = span_ids(&sorted);
        for (row, (batch, row_in_batch)) in days[0].places.iter().enumerate() {
            let one = arrow::compute::concat_batches(
                &SPANS.schema(),
                [&sorted.slice(row, 1), &batches[*batch].slice(*row_in_batch, 1)],
            ).expect("one schema");
            prop_assert_eq!(one.slice(0, 1), one.slice(1, 1));
        }
        ids.sort_unstable();
        prop_assert_eq!(ids, (0..next).collect::<Vec<_>>());
        let service = arrow::compute::cast(
            sorted.column_by_name("service_name").expect("spans"), &DataType::Utf8,
        ).expect("labels are text");
        let service = service.as_string::<i32>();
        let time = sorted.column_by_name("start_time").expect("spans").as_primitive::<Int64Type>();
        let keys: Vec<_> = (0..sorted.num_rows()).map(|row| (service.value(row), time.value(row))).collect();
        prop_assert!(keys.is_sorted());
    }
}

fn target(dir: &TempDir, runtime: &tokio::runtime::Runtime) -> Target {
    let store = crate::tests::place_in(dir).store;
    Target {
        store,
        table: "tenants/shop/spans".into(),
        runtime: runtime.handle().clone(),
        in_flight: Default::default(),
    }
}

/// What a reader needs for skipping is there: groups, page index, sort order, and plain types; no filters that our index replaces.
#[test]
fn files_are_laid_out_for_skipping() {
    let dir = TempDir::new().expect("a folder");
    let n_rows = ROW_GROUP_ROWS as u64 + 5_000;
    let batch = spans(0..n_rows);
    let rows = buffer::rows(batch.records().clone(), batch.time_range(), batch.bytes()).expect("rows");
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let files = write(&target(&dir, &runtime), &SPANS, &[rows], 30).expect("written");
    let [file] = files.as_slice() else { panic!("one day, one file: {files:?}") };
    assert_eq!(file.meta.path.as_ref(), format!("tenants/shop/spans/{}", file.path_in_table));
    assert!(file.stats.contains(r#""numRecords":37768"#), "{}", file.stats);

    let opened = std::fs::File::open(dir.path().join(file.meta.path.as_ref())).expect("it is there");
    assert_eq!(opened.metadata().expect("a file").len(), file.meta.size_bytes);
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
    let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(opened, options).expect("it is Parquet");
    assert_eq!(reader.schema().fields(), SPANS.schema().fields());
    let metadata = Arc::clone(reader.metadata());
    let groups: Vec<i64> = metadata.row_groups().iter().map(|group| group.num_rows()).collect();
    assert_eq!(groups, [ROW_GROUP_ROWS as i64, 5_000]);

    let group = metadata.row_group(0);
    let position = |name: &str| {
        let mut leaves = group.columns().iter();
        leaves.position(|column| column.column_path().string() == name).expect("the leaf exists")
    };
    let sorting: Vec<i32> = group.sorting_columns().expect("declared").iter().map(|column| column.column_idx).collect();
    assert_eq!(sorting, ["service_name", "name", "start_time"].map(|name| position(name) as i32));
    let encodings = |name: &str| group.column(position(name)).encodings().collect::<Vec<_>>();
    assert!(encodings("start_time").contains(&Encoding::DELTA_BINARY_PACKED), "{:?}", encodings("start_time"));
    assert!(encodings("service_name").contains(&Encoding::RLE_DICTIONARY), "{:?}", encodings("service_name"));
    assert!(!encodings("span_id").contains(&Encoding::RLE_DICTIONARY), "{:?}", encodings("span_id"));
    let trace_id = group.column(position("trace_id"));
    assert_eq!(trace_id.column_type(), Type::BYTE_ARRAY);
    assert!(matches!(trace_id.compression(), Compression::ZSTD(_)));
    assert!(group.columns().iter().all(|column| column.bloom_filter_offset().is_none()));
    let pages = &metadata.offset_index().expect("required")[0][position("start_time")].page_locations;
    assert_eq!(pages.len(), ROW_GROUP_ROWS / 2048);
}

/// Pieces of one journey stand together, and its ids once: 30,000 pieces of 2,000 journeys, of which some run at the same time, take less
/// than four bytes each for an id of 16.
#[test]
fn ids_of_journeys_stand_once() {
    const ROWS: i64 = 30_000;
    let dir = TempDir::new().expect("a folder");
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    // Fifteen pieces each, one a step, while other journeys have theirs.
    let journey = |row: i64| (row / 15 + 37 * (row % 15)).rem_euclid(ROWS / 15);
    let ids = || -> arrow::array::ArrayRef {
        let random = |row: i64| u128::from(journey(row) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        let bytes: Vec<_> = (0..ROWS).map(|row| random(row).to_be_bytes()).collect();
        Arc::new(bytes.iter().map(|id| Some(&id[..])).collect::<arrow::array::BinaryArray>())
    };
    let batch = batch(&SEGMENTS, ROWS as usize, |column| match column.name {
        "time" => Some(Arc::new(Int64Array::from_iter_values((0..ROWS).map(|row| DAY_START + row * 1_000)))),
        "journey" | "trace" => Some(ids()),
        "node" => Some(labels((0..ROWS).map(|row| format!("service:{}", row % 24)))),
        _ => None,
    });
    let rows = buffer::rows(batch.records().clone(), batch.time_range(), batch.bytes()).expect("rows");
    let files = write(&target(&dir, &runtime), &SEGMENTS, &[rows], 30).expect("written");
    let opened = std::fs::File::open(dir.path().join(files[0].meta.path.as_ref())).expect("it is there");
    let file = ParquetRecordBatchReaderBuilder::try_new(opened).expect("it is Parquet");
    let metadata = Arc::clone(file.metadata());
    for name in ["journey", "trace"] {
        let leaf = metadata.row_group(0).columns().iter().find(|leaf| leaf.column_path().string() == name);
        let bytes = leaf.expect("the leaf exists").compressed_size();
        assert!(bytes < 4 * ROWS, "{bytes} bytes of {name}");
    }
    let read: Vec<RecordBatch> = file.build().expect("readable").collect::<Result<_, _>>().expect("rows");
    let found = arrow::compute::concat(&read.iter().map(|rows| rows["journey"].as_ref()).collect::<Vec<_>>());
    assert_eq!(&found.expect("one type"), &ids());
}

/// Texts that hardly repeat have no dictionary, and moments of arrival that rows share have one; a merge goes by what its
/// inputs have, and every value comes back.
#[test]
fn rows_decide_how_they_are_written() {
    let dir = TempDir::new().expect("a folder");
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let target = target(&dir, &runtime);
    let write_all = |own_arrivals: bool| {
        let text = |name: &str, value: &dyn Fn(usize) -> String| {
            let values: arrow::array::StringArray = (0..3_000).map(|n| Some(value(n))).collect();
            let (_, column) = SPANS.column(name).expect("a column of spans");
            arrow::compute::cast(&values, &column.kind.arrow()).expect("text")
        };
        let batch = batch(&SPANS, 3_000, |column| match column.name {
            "user_id" => Some(text("user_id", &|n| format!("user-{n}"))),
            "http_route" => Some(text("http_route", &|n| format!("/route/{}", n % 7))),
            "arrival_time" => {
                let arrival = |n: i64| DAY_START + if own_arrivals { n } else { n / 100 };
                Some(Arc::new(Int64Array::from_iter_values((0..3_000).map(arrival))))
            }
            "start_time" => Some(Arc::new(Int64Array::from_iter_values((0..3_000).map(|n| DAY_START + n)))),
            _ => None,
        });
        let rows = buffer::rows(batch.records().clone(), batch.time_range(), batch.bytes()).expect("rows");
        let files = write(&target, &SPANS, &[rows], 30).expect("written");
        (batch, Arc::clone(&files[0].meta))
    };
    let columns: Vec<usize> = (0..SPANS.columns().len()).collect();
    for own_arrivals in [false, true] {
        let (batch, meta) = write_all(own_arrivals);
        let opened = std::fs::File::open(dir.path().join(meta.path.as_ref())).expect("it is there");
        let metadata = Arc::clone(ParquetRecordBatchReaderBuilder::try_new(opened).expect("it is Parquet").metadata());
        let has_dictionary = |name: &str| {
            let leaf = metadata.row_group(0).columns().iter().find(|leaf| leaf.column_path().string() == name);
            leaf.expect("the leaf exists").encodings().any(|encoding| encoding == Encoding::RLE_DICTIONARY)
        };
        let found = ["user_id", "http_route", "arrival_time"].map(has_dictionary);
        assert_eq!(found, [false, true, !own_arrivals]);
        let (store, handle) = (&target.store, runtime.handle());
        let mut scan = SegmentScan::open(store, handle, &SPANS, &meta, columns.clone(), 4_000).expect("readable");
        let shape = scan.shape().clone();
        assert_eq!(Shape::of_most(&SPANS, &[(&Shape::default(), 2_999), (&shape, 3_000)]), shape);
        assert_eq!(Shape::of_most(&SPANS, &[(&Shape::default(), 3_000), (&shape, 3_000)]), Shape::default());
        let rows = scan.next().expect("readable").expect("all rows");
        for name in ["user_id", "http_route", "arrival_time"] {
            let [read, sent] = [&rows, batch.records()].map(|rows| {
                arrow::compute::cast(rows.column_by_name(name).expect("it is there"), &DataType::Utf8).expect("text")
            });
            assert_eq!(&read, &sent, "{name}");
        }
    }
}

/// A file that cannot be written leaves nothing behind.
#[test]
fn d6_a_failed_write_leaves_nothing() {
    let dir = TempDir::new().expect("a folder");
    let tables = dir.path().join("tenants/shop/spans");
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let target = target(&dir, &runtime);
    std::fs::create_dir_all(&tables).expect("writable");
    let (today, yesterday) = (spans(0..5), spans_at(5..10, DAY_START - UnixNanos::DAY));
    let rows = [&yesterday, &today]
        .map(|batch| buffer::rows(batch.records().clone(), batch.time_range(), batch.bytes()).expect("rows"));
    // A file where the second day's directory should be.
    std::fs::write(tables.join("date=2026-11-20"), "").expect("writable");
    let table: &'static Table = &SPANS;
    write(&target, table, &rows, 30).expect_err("no directory");
    let left = std::fs::read_dir(tables.join("date=2026-11-19")).expect("made for the first day").count();
    assert_eq!(left, 0);
}
