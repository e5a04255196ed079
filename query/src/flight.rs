//! Arrow Flight SQL on the port of the API, for notebooks and business tools: ADBC, JDBC, anything that speaks it.
//!
//! | file        | knows                                                                  |
//! |-------------|------------------------------------------------------------------------|
//! | `rows.rs`   | rows of a statement as they are made, within the limits                |
//!
//! The same statements as `POST /api/sql`, through the same gates and limits. Nothing is kept between requests: the
//! handle of a statement, prepared or not, is the statement itself with its parameters, so that any process answers
//! it. An answer that would be cut ends with an error instead: the protocol has no room to say that rows are missing.

mod rows;

use std::pin::Pin;
use std::sync::Arc;

use api::SqlRequest;
use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::ipc::writer::IpcWriteOptions;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_server::FlightServiceServer;
use arrow_flight::sql::metadata::{SqlInfoData, SqlInfoDataBuilder};
use arrow_flight::sql::server::{FlightSqlService, PeekableFlightDataStream};
use arrow_flight::sql::{
    ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult,
    CommandGetCatalogs, CommandGetDbSchemas, CommandGetSqlInfo, CommandGetTableTypes, CommandGetTables,
    CommandPreparedStatementQuery, CommandStatementQuery, DoPutPreparedStatementResult, ProstMessageExt, SqlInfo,
    TicketStatementQuery,
};
use arrow_flight::{Action, FlightDescriptor, FlightEndpoint, FlightInfo, IpcMessage, SchemaAsIpc, Ticket};
use bytes::Bytes;
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use model::{ErrorKind, Identity, TenantId};
use prost::Message as _;
use serde_json::Value as Json;
use tonic::{Request, Response, Status};

use crate::engine::Engine;
use crate::error::Error;
use crate::sql::encode::parameter;
use crate::tables::{CATALOG, PUBLIC};

/// Largest request: a statement with its parameters.
const REQUEST_BYTES_MAX: usize = 1 << 20;
/// Batches that may be sent to bind one row of parameters.
const BOUND_BATCHES_MAX: usize = 8;

type Reply<T> = Result<Response<T>, Status>;
type Data = Pin<Box<dyn Stream<Item = Result<arrow_flight::FlightData, Status>> + Send>>;

/// The service.
pub(crate) fn service(engine: &Engine) -> FlightServiceServer<Flight> {
    FlightServiceServer::new(Flight { engine: engine.clone() }).max_decoding_message_size(REQUEST_BYTES_MAX)
}

#[derive(Clone, Debug)]
pub(crate) struct Flight {
    engine: Engine,
}

/// Whose data it is: decided by the door.
fn tenant<T>(request: &Request<T>) -> TenantId {
    request.extensions().get::<Identity>().map_or_else(TenantId::default_tenant, |identity| identity.tenant.clone())
}

#[expect(clippy::needless_pass_by_value, reason = "used as a function of errors")]
fn status(error: Error) -> Status {
    let text = match &error {
        Error::Invalid { detail, position: Some(position) } => format!("{detail} (at byte {position})"),
        other => other.to_string(),
    };
    match error.kind() {
        ErrorKind::Invalid => Status::invalid_argument(text),
        ErrorKind::NotFound => Status::not_found(text),
        ErrorKind::Overloaded | ErrorKind::OverBudget => Status::unavailable(text),
        ErrorKind::TooLarge => Status::resource_exhausted(text),
        ErrorKind::Timeout => Status::deadline_exceeded(text),
        _ => Status::internal(text),
    }
}

fn internal(error: impl std::fmt::Display) -> Status {
    Status::internal(error.to_string())
}

fn handle(request: &SqlRequest) -> Result<Bytes, Status> {
    serde_json::to_vec(request).map(Bytes::from).map_err(internal)
}

fn read_handle(handle: &[u8]) -> Result<SqlRequest, Status> {
    serde_json::from_slice(handle).map_err(|_| Status::invalid_argument("this is no handle of a statement of ours"))
}

/// As rows are sent: the encoder unpacks dictionaries, also within lists and structures.
fn sent_schema(schema: &SchemaRef) -> SchemaRef {
    let encoder = FlightDataEncoderBuilder::new().with_schema(SchemaRef::clone(schema)).build(stream::empty());
    encoder.known_schema().unwrap_or_else(|| SchemaRef::clone(schema))
}

fn info(schema: &Schema, ticket: Vec<u8>, descriptor: FlightDescriptor) -> Reply<FlightInfo> {
    let info = FlightInfo::new().try_with_schema(schema).map_err(internal)?;
    let endpoint = FlightEndpoint::new().with_ticket(Ticket::new(ticket));
    Ok(Response::new(info.with_endpoint(endpoint).with_descriptor(descriptor)))
}

fn one_batch(batch: RecordBatch) -> Reply<Data> {
    let schema = batch.schema();
    let rows = stream::iter([Ok::<_, FlightError>(batch)]);
    let data = FlightDataEncoderBuilder::new().with_schema(schema).build(rows).map_err(Status::from);
    Ok(Response::new(Box::pin(data)))
}

impl Flight {
    async fn schema<T>(&self, request: &Request<T>, statement: &SqlRequest) -> Result<SchemaRef, Status> {
        let schema = self.engine.sql_schema(&tenant(request), statement.clone()).await.map_err(status)?;
        Ok(sent_schema(&schema))
    }

    async fn answer<T>(&self, request: &Request<T>, statement: SqlRequest) -> Reply<Data> {
        let rows = self.engine.rows(&tenant(request), statement).await.map_err(status)?;
        let schema = SchemaRef::clone(&rows.schema);
        let rows = rows.map(|batch| batch.map_err(|error| FlightError::Tonic(Box::new(status(error)))));
        let data = FlightDataEncoderBuilder::new().with_schema(schema).build(rows).map_err(Status::from);
        Ok(Response::new(Box::pin(data)))
    }
}

fn about_us() -> Result<SqlInfoData, Status> {
    let mut info = SqlInfoDataBuilder::new();
    info.append(SqlInfo::FlightSqlServerName, env!("CARGO_PKG_NAME"));
    info.append(SqlInfo::FlightSqlServerVersion, env!("CARGO_PKG_VERSION"));
    info.append(SqlInfo::FlightSqlServerReadOnly, true);
    info.append(SqlInfo::FlightSqlServerSql, true);
    info.build().map_err(internal)
}

#[tonic::async_trait]
impl FlightSqlService for Flight {
    type FlightService = Self;

    async fn get_flight_info_statement(
        &self,
        query: CommandStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Reply<FlightInfo> {
        let statement = SqlRequest { sql: query.query, ..SqlRequest::default() };
        let schema = self.schema(&request, &statement).await?;
        let ticket = TicketStatementQuery { statement_handle: handle(&statement)? };
        info(&schema, ticket.as_any().encode_to_vec(), request.into_inner())
    }

    async fn do_get_statement(&self, ticket: TicketStatementQuery, request: Request<Ticket>) -> Reply<Data> {
        self.answer(&request, read_handle(&ticket.statement_handle)?).await
    }

    async fn do_action_create_prepared_statement(
        &self,
        query: ActionCreatePreparedStatementRequest,
        request: Request<Action>,
    ) -> Result<ActionCreatePreparedStatementResult, Status> {
        let statement = SqlRequest { sql: query.query, ..SqlRequest::default() };
        // With parameters, the columns are known when they are.
        let schema = match self.schema(&request, &statement).await {
            Ok(schema) => schema,
            Err(_) if statement.sql.contains('$') => Arc::new(Schema::empty()),
            Err(error) => return Err(error),
        };
        let encoded = |schema: &Schema| -> Result<Bytes, Status> {
            let message: IpcMessage =
                SchemaAsIpc::new(schema, &IpcWriteOptions::default()).try_into().map_err(internal)?;
            Ok(message.0)
        };
        Ok(ActionCreatePreparedStatementResult {
            prepared_statement_handle: handle(&statement)?,
            dataset_schema: encoded(&schema)?,
            // Unknown: whatever is bound is taken.
            parameter_schema: Bytes::new(),
        })
    }

    async fn do_put_prepared_statement_query(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<DoPutPreparedStatementResult, Status> {
        let mut statement = read_handle(&query.prepared_statement_handle)?;
        let sent = request.into_inner().map_err(|status| FlightError::Tonic(Box::new(status)));
        let mut batches = FlightRecordBatchStream::new_from_flight_data(sent).take(BOUND_BATCHES_MAX + 1);
        let (mut bound, mut n_rows, mut n_batches) = (None, 0, 0);
        while let Some(batch) = batches.try_next().await? {
            (n_rows, n_batches) = (n_rows + batch.num_rows(), n_batches + 1);
            if n_rows > 1 || n_batches > BOUND_BATCHES_MAX {
                return Err(Status::invalid_argument("a query takes one row of parameters; ask once for each"));
            }
            bound = bound.or(Some(batch).filter(|batch| batch.num_rows() > 0));
        }
        let Some(batch) = bound else {
            return Err(Status::invalid_argument("no parameters were bound"));
        };
        for (index, (field, column)) in batch.schema().fields().iter().zip(batch.columns()).enumerate() {
            let value: Json = parameter(column, 0).map_err(status)?;
            statement.params.insert((index + 1).to_string(), value.clone());
            if !field.name().bytes().all(|byte| byte.is_ascii_digit()) {
                statement.params.insert(field.name().clone(), value);
            }
        }
        Ok(DoPutPreparedStatementResult { prepared_statement_handle: Some(handle(&statement)?) })
    }

    async fn get_flight_info_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Reply<FlightInfo> {
        let statement = read_handle(&query.prepared_statement_handle)?;
        let schema = self.schema(&request, &statement).await?;
        let ticket = TicketStatementQuery { statement_handle: query.prepared_statement_handle };
        info(&schema, ticket.as_any().encode_to_vec(), request.into_inner())
    }

    async fn do_get_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<Ticket>,
    ) -> Reply<Data> {
        self.answer(&request, read_handle(&query.prepared_statement_handle)?).await
    }

    async fn do_action_close_prepared_statement(
        &self,
        _: ActionClosePreparedStatementRequest,
        _: Request<Action>,
    ) -> Result<(), Status> {
        Ok(())
    }

    async fn get_flight_info_catalogs(
        &self,
        query: CommandGetCatalogs,
        request: Request<FlightDescriptor>,
    ) -> Reply<FlightInfo> {
        let ticket = query.as_any().encode_to_vec();
        info(&query.into_builder().schema(), ticket, request.into_inner())
    }

    async fn do_get_catalogs(&self, query: CommandGetCatalogs, _: Request<Ticket>) -> Reply<Data> {
        let mut builder = query.into_builder();
        builder.append(CATALOG);
        one_batch(builder.build().map_err(internal)?)
    }

    async fn get_flight_info_schemas(
        &self,
        query: CommandGetDbSchemas,
        request: Request<FlightDescriptor>,
    ) -> Reply<FlightInfo> {
        let ticket = query.as_any().encode_to_vec();
        info(&query.into_builder().schema(), ticket, request.into_inner())
    }

    async fn do_get_schemas(&self, query: CommandGetDbSchemas, _: Request<Ticket>) -> Reply<Data> {
        let mut builder = query.into_builder();
        builder.append(CATALOG, PUBLIC);
        one_batch(builder.build().map_err(internal)?)
    }

    async fn get_flight_info_tables(
        &self,
        query: CommandGetTables,
        request: Request<FlightDescriptor>,
    ) -> Reply<FlightInfo> {
        let ticket = query.as_any().encode_to_vec();
        info(&query.into_builder().schema(), ticket, request.into_inner())
    }

    async fn do_get_tables(&self, query: CommandGetTables, request: Request<Ticket>) -> Reply<Data> {
        let relations = self.engine.relations(&tenant(&request)).await.map_err(status)?;
        let mut builder = query.into_builder();
        for (name, kind, schema) in relations {
            builder.append(CATALOG, PUBLIC, name, kind, &sent_schema(&schema)).map_err(internal)?;
        }
        one_batch(builder.build().map_err(internal)?)
    }

    async fn get_flight_info_table_types(
        &self,
        query: CommandGetTableTypes,
        request: Request<FlightDescriptor>,
    ) -> Reply<FlightInfo> {
        let ticket = query.as_any().encode_to_vec();
        info(&query.into_builder().schema(), ticket, request.into_inner())
    }

    async fn do_get_table_types(&self, query: CommandGetTableTypes, _: Request<Ticket>) -> Reply<Data> {
        let mut builder = query.into_builder();
        for kind in ["table", "view"] {
            builder.append(kind);
        }
        one_batch(builder.build().map_err(internal)?)
    }

    async fn get_flight_info_sql_info(
        &self,
        query: CommandGetSqlInfo,
        request: Request<FlightDescriptor>,
    ) -> Reply<FlightInfo> {
        let ticket = query.as_any().encode_to_vec();
        info(&query.into_builder(&about_us()?).schema(), ticket, request.into_inner())
    }

    async fn do_get_sql_info(&self, query: CommandGetSqlInfo, _: Request<Ticket>) -> Reply<Data> {
        one_batch(query.into_builder(&about_us()?).build().map_err(internal)?)
    }

    async fn register_sql_info(&self, _: i32, _: &SqlInfo) {}
}
