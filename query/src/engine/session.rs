//! A DataFusion session over one snapshot: settings, catalog, execution.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use datafusion::catalog::{CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList};
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{Transformed, TreeNode as _};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::registry::FunctionRegistry;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, execute_stream};
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext};
use futures::StreamExt;
use model::{TimeRange, UnixNanos};
use storage::Snapshot;
use storage::table::Table;
use tokio::task::JoinSet;

use super::group_texts::GroupTexts;
use super::label_groups::by_codes;
use super::parted_groups::in_parts;
use super::pauses::{TurnsExec, with_pauses};
use super::runtime::n_threads;
use crate::config::Config;
use crate::digest::on_demand::{Computed, Derived};
use crate::digest::stored::Stored;
use crate::error::{Error, Result};
use crate::functions;
use crate::tables::by_id;
use crate::tables::scan::Scanned as _;
use crate::tables::{CATALOG, PUBLIC, PublicSchema, RAW, RawSchema, STORE_URL, SnapshotTable, UTC, ViewPlans};

/// Bytes of one trace, as columns in memory (V13).
pub(crate) const TRACE_BYTES_MAX: u64 = 256 << 20;

/// What all sessions share: memory pool, caches and a state with our functions and rules.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Arc<Config>,
    runtime: Arc<RuntimeEnv>,
    state: SessionState,
    /// For questions of one thread.
    small_state: SessionState,
    views: ViewPlans,
}

impl Shared {
    /// # Errors
    /// When DataFusion refuses its own settings: a bug.
    pub(crate) fn new(config: Arc<Config>) -> Result<Self> {
        let bytes = |setting: u64| usize::try_from(setting).unwrap_or(usize::MAX);
        let top = std::num::NonZeroUsize::MIN;
        let pool = TrackConsumersPool::new(FairSpillPool::new(bytes(config.memory_bytes_max)), top);
        let spill = match config.spill_bytes_max {
            0 => DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled),
            // A folder of its own in the system's folder for temporary files, made when it is first needed.
            n => DiskManagerBuilder::default().with_max_temp_directory_size(n),
        };
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(pool))
            .with_metadata_cache_limit(bytes(config.metadata_cache_bytes))
            .with_disk_manager_builder(spill)
            .build_arc()?;
        let mut state = SessionStateBuilder::new()
            .with_config(session_config(&config))
            .with_runtime_env(Arc::clone(&runtime))
            .with_default_features()
            .with_optimizer_rule(Arc::new(GroupTexts))
            .build();
        only_allowed(&mut state)?;
        for function in functions::all() {
            state.register_udf(function)?;
        }
        for function in functions::aggregates() {
            state.register_udaf(function)?;
        }
        for rewrite in functions::rewrites() {
            state.register_function_rewrite(rewrite)?;
        }
        let mut small_state = state.clone();
        small_state.config_mut().options_mut().execution.target_partitions = 1;
        Ok(Self { config, runtime, state, small_state, views: ViewPlans::default() })
    }

    /// What all sessions share: memory, caches, temporary files.
    pub(crate) fn runtime_env(&self) -> &RuntimeEnv {
        &self.runtime
    }

    /// Memory that queries hold at the moment.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.runtime.memory_pool.reserved() as u64
    }

    /// A session over `snapshot`.
    ///
    /// # Errors
    /// When DataFusion refuses our catalog: a bug.
    pub(crate) fn session(&self, snapshot: Arc<Snapshot>, now: UnixNanos) -> Result<Session> {
        self.session_of(&self.state, snapshot, Computed::default(), now)
    }

    /// As [`Self::session`], for one of several small questions over the same snapshot: each has one thread, so that its
    /// plan is half as long, and none takes all of them.
    ///
    /// # Errors
    /// As [`Self::session`].
    pub(crate) fn small_session(&self, snapshot: Arc<Snapshot>, computed: Computed, now: UnixNanos) -> Result<Session> {
        self.session_of(&self.small_state, snapshot, computed, now)
    }

    fn session_of(
        &self,
        state: &SessionState,
        snapshot: Arc<Snapshot>,
        computed: Computed,
        now: UnixNanos,
    ) -> Result<Session> {
        let url = ObjectStoreUrl::parse(STORE_URL)?;
        self.runtime.register_object_store(url.as_ref(), Arc::clone(&snapshot.store));

        let raw_only = catalogs(vec![(RAW, Arc::new(RawSchema(Arc::clone(&snapshot))))])?;
        let mut planner = state.clone();
        planner.register_catalog_list(raw_only);
        let planner = Arc::new(planner);
        let stored = Stored::new(Arc::clone(&planner), Arc::clone(&snapshot));
        let derived = Arc::new(Derived::new(stored, Arc::clone(&self.config), computed));
        let public =
            Arc::new(PublicSchema::new(Arc::clone(&snapshot), planner, Arc::clone(&self.views), Arc::clone(&derived)));

        let mut state = state.clone();
        state.register_catalog_list(catalogs(vec![
            (RAW, Arc::new(RawSchema(Arc::clone(&snapshot)))),
            (PUBLIC, Arc::clone(&public) as _),
        ])?);
        let session = Session {
            context: SessionContext::new_with_state(state.clone()),
            public,
            snapshot,
            derived,
            config: Arc::clone(&self.config),
            now,
            notes: Arc::default(),
        };
        // The functions read through the session without functions: nothing holds itself.
        for (name, function) in by_id::functions(&session) {
            state.register_udtf(name, function);
        }
        Ok(Session { context: SessionContext::new_with_state(state), ..session })
    }
}

/// Takes every function out that is not on the list.
fn only_allowed(state: &mut SessionState) -> Result<()> {
    use crate::functions::allowed::{AGGREGATE, SCALAR, TABLE, WINDOW};
    let others = |names: Vec<String>, allowed: &[&str]| -> Vec<String> {
        names.into_iter().filter(|name| !allowed.contains(&name.as_str())).collect()
    };
    for name in others(state.scalar_functions().keys().cloned().collect(), SCALAR) {
        state.deregister_udf(&name)?;
    }
    for name in others(state.aggregate_functions().keys().cloned().collect(), AGGREGATE) {
        state.deregister_udaf(&name)?;
    }
    for name in others(state.window_functions().keys().cloned().collect(), WINDOW) {
        state.deregister_udwf(&name)?;
    }
    for name in others(state.table_functions().keys().cloned().collect(), TABLE) {
        state.deregister_udtf(&name)?;
    }
    Ok(())
}

fn catalogs(
    schemas: Vec<(&str, Arc<dyn datafusion::catalog::SchemaProvider>)>,
) -> Result<Arc<dyn CatalogProviderList>> {
    let catalog = MemoryCatalogProvider::new();
    for (name, schema) in schemas {
        catalog.register_schema(name, schema)?;
    }
    let list = MemoryCatalogProviderList::new();
    list.register_catalog(CATALOG.to_owned(), Arc::new(catalog));
    Ok(Arc::new(list))
}

fn session_config(config: &Config) -> SessionConfig {
    let mut session = SessionConfig::new()
        .with_target_partitions(n_threads(config.threads))
        .with_default_catalog_and_schema(CATALOG, PUBLIC)
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(false);
    let options = session.options_mut();
    options.execution.time_zone = Some(UTC.to_owned());
    options.execution.enable_recursive_ctes = false;
    options.execution.parquet.pushdown_filters = true;
    options.execution.parquet.reorder_filters = true;
    options.execution.parquet.schema_force_view_types = false;
    options.sql_parser.map_string_types_to_utf8view = false;
    session
}

/// One question over one snapshot. Lives on the query threads.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) context: SessionContext,
    pub(crate) public: Arc<PublicSchema>,
    pub(crate) snapshot: Arc<Snapshot>,
    /// Relations of settled journeys.
    pub(crate) derived: Arc<Derived>,
    pub(crate) config: Arc<Config>,
    /// When the question was asked.
    pub(crate) now: UnixNanos,
    /// Why the answer may miss something.
    notes: Arc<Mutex<BTreeSet<String>>>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("now", &self.now).finish_non_exhaustive()
    }
}

/// What a query cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    /// Rows that came out of segments and buffer, after filters inside the scan.
    pub(crate) rows_read: u64,
    /// Bytes read from segments.
    pub(crate) bytes_read: u64,
}

impl std::ops::AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.rows_read += other.rows_read;
        self.bytes_read += other.bytes_read;
    }
}

/// Rows of an answer.
#[derive(Debug)]
pub(crate) struct Collected {
    pub(crate) batches: Vec<RecordBatch>,
    pub(crate) cost: Cost,
    /// Why rows are missing; `None` when all are there.
    pub(crate) cut: Option<String>,
}

impl Session {
    /// Remembers why the answer may miss something.
    pub(crate) fn note(&self, reason: String) {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).insert(reason);
    }

    /// Everything that was noted, joined with `cut`.
    pub(crate) fn noted(&self, cut: Option<&str>) -> Option<String> {
        let notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let reasons: Vec<&str> = cut.into_iter().chain(notes.iter().map(String::as_str)).collect();
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }

    /// All rows of a table; nothing is read yet.
    ///
    /// # Errors
    /// When the table cannot be planned: a bug.
    pub(crate) fn table(&self, table: &'static Table) -> Result<DataFrame> {
        let provider = SnapshotTable::new(table, Arc::clone(&self.snapshot));
        Ok(self.context.read_table(provider.provider())?)
    }

    /// A query of our own with `$from` and `$to`; never text of a caller's.
    ///
    /// # Errors
    /// When the query cannot be planned: a bug.
    pub(crate) async fn query(&self, sql: &str, range: TimeRange) -> Result<DataFrame> {
        self.query_with(sql, range, Vec::new()).await
    }

    /// As [`Self::query`], with further values for `$name`.
    ///
    /// # Errors
    /// When the query cannot be planned: a bug.
    pub(crate) async fn query_with(
        &self,
        sql: &str,
        range: TimeRange,
        mut params: Vec<(&str, ScalarValue)>,
    ) -> Result<DataFrame> {
        let moment = |moment: UnixNanos| ScalarValue::TimestampNanosecond(Some(moment.0), Some(UTC.into()));
        params.extend([("from", moment(range.start)), ("to", moment(range.end))]);
        Ok(self.context.sql(sql).await?.with_param_values(params)?)
    }

    /// Optimizes and plans.
    ///
    /// # Errors
    /// What the query text got wrong, in words for its author.
    pub(crate) async fn plan(&self, plan: &LogicalPlan) -> Result<Arc<dyn ExecutionPlan>> {
        self.plan_as(&self.context.state(), plan).await
    }

    /// As [`Self::plan`], with a state of the caller's: another moment for `now()`, say.
    ///
    /// # Errors
    /// As [`Self::plan`].
    pub(crate) async fn plan_as(&self, state: &SessionState, plan: &LogicalPlan) -> Result<Arc<dyn ExecutionPlan>> {
        with_pauses(by_codes(in_parts(state.create_physical_plan(plan).await?)?)?)
    }

    /// Rows of a frame, up to `rows_max` and the limits of the configuration.
    ///
    /// # Errors
    /// What went wrong while planning or reading.
    pub(crate) async fn collect(&self, frame: DataFrame, rows_max: u64) -> Result<Collected> {
        let plan = self.plan(frame.logical_plan()).await?;
        self.collect_plan(plan, rows_max).await
    }

    /// Rows of one trace, up to `rows_max` and [`TRACE_BYTES_MAX`].
    ///
    /// # Errors
    /// What went wrong while planning or reading.
    pub(crate) async fn collect_trace(&self, frame: DataFrame, rows_max: u64) -> Result<Collected> {
        let plan = self.plan(frame.logical_plan()).await?;
        self.collect_within(plan, rows_max, TRACE_BYTES_MAX).await
    }

    /// As [`Self::collect`], for a plan.
    ///
    /// # Errors
    /// What went wrong while reading.
    pub(crate) async fn collect_plan(&self, plan: Arc<dyn ExecutionPlan>, rows_max: u64) -> Result<Collected> {
        self.collect_within(plan, rows_max.min(self.config.rows_max), self.config.result_bytes_max).await
    }

    async fn collect_within(&self, plan: Arc<dyn ExecutionPlan>, rows_max: u64, bytes_max: u64) -> Result<Collected> {
        let (mut batches, mut n_rows, mut n_bytes, mut cut) = (Vec::new(), 0u64, 0u64, None);
        let cost = self
            .fold(plan, |batch| {
                let left = rows_max - n_rows;
                if batch.num_rows() as u64 > left {
                    cut = Some(format!("the answer was cut at {rows_max} rows; add a LIMIT or narrow the question"));
                    batches.push(batch.slice(0, usize::try_from(left).unwrap_or(usize::MAX)));
                    return Ok(ControlFlow::Break(()));
                }
                n_bytes += sliced_bytes(&batch);
                if n_bytes > bytes_max {
                    cut = Some(format!(
                        "the answer was cut at {n_rows} rows because it is larger than {bytes_max} bytes"
                    ));
                    return Ok(ControlFlow::Break(()));
                }
                n_rows += batch.num_rows() as u64;
                batches.push(batch);
                Ok(ControlFlow::Continue(()))
            })
            .await?;
        Ok(Collected { batches, cost, cut })
    }

    /// Hands every batch of a plan to `each` until it breaks or the rows end.
    ///
    /// # Errors
    /// What went wrong while reading, or in `each`.
    pub(crate) async fn fold(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        mut each: impl FnMut(RecordBatch) -> Result<ControlFlow<()>>,
    ) -> Result<Cost> {
        let mut stream = execute_stream(Arc::clone(&plan), self.context.task_ctx())?;
        while let Some(batch) = stream.next().await {
            if each(batch?)?.is_break() {
                break;
            }
        }
        drop(stream);
        Ok(cost(&plan))
    }
}

/// Segments smaller than this together are not worth two threads.
const SPREAD_BYTES_MIN: usize = 256 << 10;

impl Session {
    /// A plan that only reads, filters and selects, with its segments in parts of about the same size, one for each thread: a
    /// table of one large segment and some small ones keeps all of them busy. Other plans stay as they are.
    ///
    /// # Errors
    /// When a plan cannot be put together again: a bug.
    pub(crate) fn spread(&self, plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        let is_simple = |node: &Arc<dyn ExecutionPlan>| {
            node.downcast_ref::<DataSourceExec>().is_some()
                || node.is::<TurnsExec>()
                || node.downcast_ref::<FilterExec>().is_some()
                || node.downcast_ref::<ProjectionExec>().is_some()
                || node.downcast_ref::<UnionExec>().is_some()
        };
        if plan.exists(|node| Ok(!is_simple(node)))? {
            return Ok(plan);
        }
        let state = self.context.state();
        let n_threads = state.config().target_partitions();
        let mut options = state.config_options().as_ref().clone();
        options.optimizer.repartition_file_min_size = SPREAD_BYTES_MIN;
        let spread = |node: Arc<dyn ExecutionPlan>| {
            let is_scan = node.downcast_ref::<DataSourceExec>().is_some();
            let spread = if is_scan { node.repartitioned(n_threads, &options)? } else { None };
            Ok(spread.map_or_else(|| Transformed::no(node), Transformed::yes))
        };
        Ok(plan.transform_up(spread)?.data)
    }

    /// Hands the batches of every partition of a plan to `each`, partition by partition at the same time, each with a
    /// state of its own; gives the states in the order of the partitions. The work ends when the future is dropped.
    ///
    /// # Errors
    /// The first that went wrong while reading, or in `each`.
    pub(crate) async fn fold_parts<T, Start, Each>(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        start: Start,
        each: Each,
    ) -> Result<(Vec<T>, Cost)>
    where
        T: Send + 'static,
        Start: Fn() -> T,
        Each: Fn(&mut T, RecordBatch) -> Result<ControlFlow<()>> + Clone + Send + 'static,
    {
        let plan = self.spread(plan)?;
        let mut parts = JoinSet::new();
        for index in 0..plan.output_partitioning().partition_count() {
            let mut stream = plan.execute(index, self.context.task_ctx())?;
            let (mut state, each) = (start(), each.clone());
            parts.spawn(async move {
                while let Some(batch) = stream.next().await {
                    if each(&mut state, batch?)?.is_break() {
                        break;
                    }
                }
                Ok::<_, Error>((index, state))
            });
        }
        let mut states = Vec::new();
        while let Some(part) = parts.join_next().await {
            match part {
                Ok(part) => states.push(part?),
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Err(error) => return Err(Error::Internal(error.to_string())),
            }
        }
        states.sort_by_key(|(index, _)| *index);
        Ok((states.into_iter().map(|(_, state)| state).collect(), cost(&plan)))
    }
}

/// Bytes of the rows in a batch; shared buffers count in proportion to the rows.
pub(crate) fn sliced_bytes(batch: &RecordBatch) -> u64 {
    let column = |column: &arrow::array::ArrayRef| column.to_data().get_slice_memory_size().unwrap_or(0) as u64;
    batch.columns().iter().map(column).sum()
}

/// Adds up what the leaves of a plan that ran have read.
pub(crate) fn cost(plan: &Arc<dyn ExecutionPlan>) -> Cost {
    let mut total = Cost::default();
    let mut waiting = vec![Arc::clone(plan)];
    while let Some(plan) = waiting.pop() {
        if let Some(leaf) = plan.downcast_ref::<DataSourceExec>() {
            if let Some(buffer) = leaf.data_source().downcast_ref::<MemorySourceConfig>() {
                // It keeps no figures: every row of the batches that were not pruned counts.
                total.rows_read +=
                    buffer.partitions().iter().flatten().map(|batch| batch.num_rows() as u64).sum::<u64>();
            } else if let Some(metrics) = plan.metrics() {
                let scanned = metrics.sum_by_name("bytes_scanned").map_or(0, |value| value.as_usize());
                total.bytes_read += scanned as u64;
                total.rows_read += metrics.output_rows().unwrap_or(0) as u64;
            }
        }
        waiting.extend(plan.children().into_iter().cloned());
    }
    total
}

/// Why answers from a snapshot may miss rows, joined with a reason of the question's own.
pub(crate) fn incomplete(snapshot: &Snapshot, cut: Option<String>) -> (bool, Option<String>) {
    let reasons: Vec<String> = snapshot.incomplete.clone().into_iter().chain(cut).collect();
    (!reasons.is_empty(), (!reasons.is_empty()).then(|| reasons.join("; ")))
}
