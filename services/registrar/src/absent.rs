//! Parts of the API that this version does not carry out. They say so.

use cluster_api::registrar::v1::{
    CreateTrunkRequest, DeleteTrunkRequest, DeleteTrunkResponse, GetTrunkRequest, ListTrunksRequest,
    ListTrunksResponse, Trunk, UpdateTrunkRequest, trunks_server::Trunks,
};
use cluster_rpc::Refusal;
use tonic::{Request, Response, Status};

use crate::Registrar;

#[tonic::async_trait]
impl Trunks for Registrar {
    async fn create_trunk(&self, _: Request<CreateTrunkRequest>) -> Result<Response<Trunk>, Status> {
        Err(Refusal::not_implemented("CreateTrunk").into())
    }

    async fn get_trunk(&self, _: Request<GetTrunkRequest>) -> Result<Response<Trunk>, Status> {
        Err(Refusal::not_implemented("GetTrunk").into())
    }

    async fn list_trunks(
        &self,
        _: Request<ListTrunksRequest>,
    ) -> Result<Response<ListTrunksResponse>, Status> {
        Err(Refusal::not_implemented("ListTrunks").into())
    }

    async fn update_trunk(&self, _: Request<UpdateTrunkRequest>) -> Result<Response<Trunk>, Status> {
        Err(Refusal::not_implemented("UpdateTrunk").into())
    }

    async fn delete_trunk(
        &self,
        _: Request<DeleteTrunkRequest>,
    ) -> Result<Response<DeleteTrunkResponse>, Status> {
        Err(Refusal::not_implemented("DeleteTrunk").into())
    }
}
